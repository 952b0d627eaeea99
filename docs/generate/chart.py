"""The page about the values of the Helm chart, from its schema and its defaults."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tables import page, table

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "cutout"


def chart() -> str:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return page(
        "# Values of the Helm chart",
        "Of `deploy/helm/cutout`. Helm refuses any other key, and values of another form. How to"
        " use the chart: [Kubernetes](../kubernetes.md).",
        table(("value", "default", "meaning"), _rows("", schema, defaults)),
    )


def _rows(prefix: str, schema: dict[str, Any], default: Any) -> Iterator[tuple[str, str, str]]:
    for name, field in schema["properties"].items():
        path = f"{prefix}{name}"
        value = default.get(name) if isinstance(default, dict) else None
        if "properties" in field:
            yield f"`{path}`", "", field["description"]
            yield from _rows(f"{path}.", field, value)
            continue
        items = field.get("items", {}).get("properties", {})
        shown = "" if value is None or items else f"`{json.dumps(value)}`"
        choices = ", ".join(f"`{choice}`" for choice in field.get("enum", []))
        known = all(f"`{choice}`" in field["description"] for choice in field.get("enum", []))
        yield f"`{path}`", shown, field["description"] + ("" if known else f": {choices}")
        for key in ("name", "model", "kind", "replicas", "concurrency"):
            if key in items:
                yield f"`{path}[].{key}`", "", items[key]["description"]
