"""Reads YAML or JSON that a user wrote, hostile or not, and on which line each value is.

JSON is read as YAML too, once Python's own parser has accepted it: that knows no lines.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from contract.errors import ErrorCode, PermanentError

MAX_BYTES = 65_536
"""Size of a document."""
MAX_DEPTH = 8
"""Lists and objects within each other. A recipe has four."""

WORDS = {"true": True, "false": False, "null": None, "~": None}
NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?", re.ASCII)

Path = tuple[str, ...]
"""Names and list indexes from the outermost field inwards."""


@dataclass(slots=True)
class Document:
    """What a text holds, and where."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    """line number, from 1, of each field"""

    def line_of(self, path: Path) -> int:
        """Return the line of a field, or of the innermost object that lacks it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def invalid(line: int, message: str) -> PermanentError:
    return PermanentError(ErrorCode.INVALID_RECIPE, f"Line {line}: {message}")


def parse(data: bytes) -> Document:
    """Return the object that a text holds. Raises PermanentError (`invalid_recipe`).

    Refuses what makes a small text large or ambiguous: anchors and aliases, tags, names that occur
    twice, and values that are missing.
    """
    if len(data) > MAX_BYTES:
        raise PermanentError(
            ErrorCode.INVALID_RECIPE, f"The document is larger than {MAX_BYTES:,} bytes."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PermanentError(ErrorCode.INVALID_RECIPE, "The document is not UTF-8.") from None
    is_json = text.lstrip().startswith("{")
    if is_json:
        text = _checked_json(text)
    document = Document()
    document.value = _Reader(document, is_json=is_json).read(_composed(text))
    if not isinstance(document.value, dict):
        raise invalid(1, "The document must be an object with fields such as `renditions`.")
    return document


def _checked_json(text: str) -> str:
    """Return JSON as YAML reads it: without tabs, which are spaces there. Raises as `parse`."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise invalid(error.lineno, f"{error.msg}.") from None
    except (RecursionError, ValueError):
        raise invalid(1, "The document cannot be read.") from None
    return text.replace("\t", " ")


def _composed(text: str) -> yaml.Node | None:
    """Return the tree of a text. No value is built and no alias followed."""
    try:
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise invalid(line, "Anchors and aliases (`&`, `*`) are not allowed.")
            if getattr(event, "tag", None):
                raise invalid(line, "Tags (`!`) are not allowed.")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise invalid(line, "Too many lists and objects within each other.")
        node: yaml.Node | None = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or "it is not YAML").rstrip(".")
        raise invalid(mark.line + 1 if mark else 1, f"{problem}.") from None
    except yaml.YAMLError:
        raise invalid(1, "The document holds characters that YAML does not allow.") from None
    return node


class _Reader:
    """Builds plain values from a tree: objects, lists, texts, numbers, true and false."""

    def __init__(self, document: Document, *, is_json: bool) -> None:
        self._lines = document.lines
        self._is_json = is_json

    def read(self, node: yaml.Node | None, path: Path = ()) -> Any:
        if node is None:
            raise invalid(1, "The document is empty.")
        line = node.start_mark.line + 1
        self._lines.setdefault(path, line)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, str(n))) for n, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._read_object(node, path)
        return self._read_scalar(node, line, path)

    def _read_object(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                raise invalid(line, "The name of a field must be a plain word.")
            if key.value in fields:
                raise invalid(line, f"{key.value}: The field occurs twice.")
            self._lines[(*path, key.value)] = line
            fields[key.value] = self.read(value, (*path, key.value))
        return fields

    def _read_scalar(self, node: yaml.Node, line: int, path: Path) -> Any:
        """Return a value as JSON would: in YAML 1.1, `1:1` is 61, and `no` is false."""
        text = str(node.value)
        if node.style is not None:  # type: ignore[attr-defined]  # quoted
            return text
        if not text:
            raise invalid(
                line,
                f"{'.'.join(path)}: The value is missing; in YAML, a colour needs quotes:"
                ' "#ffffff".',
            )
        if text in WORDS:
            return WORDS[text]
        return json.loads(text) if self._is_json or NUMBER.fullmatch(text) else text
