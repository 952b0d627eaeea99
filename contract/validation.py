"""The first complaint of a pydantic validation error, as one sentence for a user."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class ErrorList(Protocol):
    """pydantic's ValidationError, or FastAPI's RequestValidationError."""

    def errors(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class InvalidField:
    """A field that failed validation. Never holds the rejected value: it may be a secret."""

    path: tuple[str, ...]
    """Names and list indexes from the outermost field inwards; empty for the object as a whole."""
    message: str
    """What is wrong, without a full stop."""
    type: str
    """pydantic's error type, such as `missing` or `string_too_long`, or a type of our own."""

    @property
    def name(self) -> str:
        """The outermost field, or "" if the object as a whole is invalid."""
        return self.path[0] if self.path else ""

    @property
    def sentence(self) -> str:
        """Such as `rendition.size: Input should be greater than 0.`."""
        where = ".".join(self.path)
        return f"{where}: {self.message}." if where else f"{self.message}."


def first_error(error: ErrorList) -> InvalidField:
    """Return the first field that `error` complains about.

    FastAPI puts `body` before the path of a field in a request's body; it is left out.
    """
    first = error.errors()[0]
    # tags of unions stand in angle brackets: they name no field
    path = tuple(part for part in map(str, first["loc"]) if not part.startswith("<"))
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    return InvalidField(path[1:] if path[:1] == ("body",) else path, message, first["type"])
