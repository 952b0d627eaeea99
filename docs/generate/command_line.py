"""docs/reference/cli.md, from the Typer apps of both sides."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

from tables import page, prose, table
from typer.main import get_command

from producer.cli.main import app as producer_verbs
from worker.cli.main import app as worker_verbs

MARKUP = re.compile(r"\[/?bold\]")


def command_line() -> str:
    elsewhere = get_command(worker_verbs).commands  # type: ignore[attr-defined]
    root = get_command(producer_verbs)
    verbs = [
        part
        for name, verb in root.commands.items()  # type: ignore[attr-defined]
        for part in _verb(f"cutout {name}", elsewhere.get(name, verb))
    ]
    return page("# Command line", _plain(root.help or ""), *verbs)


def _verb(path: str, command: Any) -> Iterator[str]:
    if hasattr(command, "commands"):
        yield f"## `{path}`"
        yield _plain(command.help or "")
        for name, verb in command.commands.items():
            yield from _verb(f"{path} {name}", verb)
        return
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    options = [p for p in command.params if p.opts[0].startswith("-")]
    usage = " ".join([path, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)])
    yield f"## `{usage}`"
    yield _plain(command.help or "")
    rows = [(f"`{_argument(p)}`", p.help or "") for p in arguments]
    rows += [(_option(p), _plain(p.help or "")) for p in options]
    if rows:
        yield table(("argument or option", "meaning"), rows)


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _option(parameter: Any) -> str:
    """Return an option's spellings, and its values and default if it takes a value."""
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.is_flag:
        return names
    values = parameter.metavar or _choices(parameter) or parameter.name.upper()
    default = parameter.default
    if default is None:
        return f"{names} `{values}`"
    return f"{names} `{values}` (default: {_value(default)})"


def _choices(parameter: Any) -> str:
    annotation = parameter.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(str(member.value) for member in annotation)
    return "|".join(str(choice) for choice in get_args(annotation) if isinstance(choice, str))


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _plain(text: str) -> str:
    return prose(MARKUP.sub("`", text))
