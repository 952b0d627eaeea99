"""docs/reference/http-api.md, from the OpenAPI document."""

import json
from collections.abc import Iterator
from typing import Any

from tables import page, prose, sentence, table

from producer.web import openapi

METHODS = ("get", "post", "put", "patch", "delete")
ERROR = "400"
"""Answers with a status of this or above are errors."""


def http_api() -> str:
    document = openapi.schema()
    operations = [
        part
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
        for part in _operation(method, path, methods[method])
    ]
    callbacks = [
        f"`{name}`: {methods['post']['summary']}\n\n{prose(methods['post']['description'])}"
        for name, methods in document["webhooks"].items()
    ]
    objects = [
        part
        for name, schema in document["components"]["schemas"].items()
        for part in _object(name, schema)
    ]
    return page(
        "# HTTP API",
        document["info"]["description"].strip(),
        "`GET /openapi.json` of `cutout serve` returns this reference as an OpenAPI document.",
        *operations,
        "## Callback",
        *callbacks,
        "## Errors",
        "The body is a [Problem](#problem) (RFC 9457) with a stable"
        " [code](error-codes.md). Errors of the remove.bg-compatible paths below `/v1.0/` have"
        " remove.bg's form instead.",
        _errors(document),
        "## Objects",
        *objects,
    )


def _operation(method: str, path: str, operation: Any) -> Iterator[str]:
    yield f"## `{method.upper()} {path}`"
    yield prose(operation.get("description") or operation.get("summary", ""))
    rows = [
        (f"`{p['name']}`", p["in"], _type(p["schema"]), _meaning(p | p["schema"]))
        for p in operation.get("parameters", [])
    ]
    if rows:
        yield table(("parameter", "in", "type", "meaning"), rows)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body `{media_type}`: {_type(content.get('schema', {}))}"
        yield _fields(content.get("schema", {}))
    answers = operation["responses"]
    yield table(
        ("status", "body", "meaning"),
        [
            (status, _type(_schema_of(answer)), sentence(answer["description"]))
            for status, answer in answers.items()
            if status < ERROR
        ],
    )
    if refused := sorted(status for status in answers if status >= ERROR):
        yield f"[Errors](#errors): {', '.join(refused)}"


def _errors(document: Any) -> str:
    meanings = {
        status: sentence(answer["description"])
        for operations in document["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= ERROR
    }
    return table(("status", "meaning"), sorted(meanings.items()))


def _schema_of(answer: Any) -> Any:
    return next(iter(answer.get("content", {}).values()), {}).get("schema", {})


def _object(name: str, schema: Any) -> Iterator[str]:
    yield f"### {name}"
    yield prose(schema.get("description", ""))
    yield _fields(schema) or _type(schema)


def _fields(schema: Any) -> str:
    required = schema.get("required", [])
    rows = [
        (f"`{name}`", _type(field), "yes" if name in required else "", _meaning(field))
        for name, field in schema.get("properties", {}).items()
    ]  # fmt: skip
    return table(("field", "type", "required", "meaning"), rows) if rows else ""


def _meaning(field: Any) -> str:
    """Return a field's description, with its default and, of a tuple, an example."""
    parts, default = [sentence(field.get("description", ""))], field.get("default")
    if isinstance(default, str | int | float) and default != "" and "efault:" not in parts[0]:
        text = json.dumps(default).strip('"')
        parts.append(f"Default: `{text}`")
    if "prefixItems" in str(field) and field.get("examples"):
        parts.append(f"Example: `{json.dumps(field['examples'][0])}`")
    return ". ".join([*(part.rstrip(".") for part in parts[:-1]), parts[-1]])


def _range(schema: Any) -> str:
    """Return the limits of a number, such as ` 1..100` or ` > 0`; empty if it has none."""
    low, above, high = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if above is not None:
        return f" > {above:g}" + ("" if high is None else f", up to {high:,.0f}")
    if low is None:
        return ""
    return f" {low:g}.." if high is None else f" {low:g}..{high:g}"


def _type(schema: Any) -> str:
    """Return a JSON schema's type in a few words, with links to the objects below."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[key])))
    if items := schema.get("items") or schema.get("prefixItems", [None])[0]:
        return f"array of {_type(items)}"
    if schema.get("contentMediaType") == "application/json":
        return "JSON text"
    by_format = {"binary": "file", "date-time": "time (RFC 3339)"}
    return by_format.get(schema.get("format", ""), str(schema.get("type", ""))) + _range(schema)
