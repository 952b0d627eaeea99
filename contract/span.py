"""A timed step of a trace."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

Kind = Literal["internal", "server", "producer", "consumer"]
"""What a span is to those of other processes, as OpenTelemetry defines it."""
Attributes = Mapping[str, str | int | float]


class Span:
    """A timed step of a trace. This one is not recorded: traces are off."""

    @property
    def traceparent(self) -> str:
        """The step as W3C's header of this name, for the process that does the next one."""
        return ""

    def rename(self, name: str) -> None: ...

    def set(self, attributes: Attributes) -> None: ...

    def fail(self, code: str) -> None:
        """Mark the step as failed. `code`: an error code; never a text, which may hold a URL."""

    def end(self) -> None: ...

    def current(self) -> AbstractContextManager[object]:
        """Return a context in which this is the current span, the parent of new ones."""
        return nullcontext()


NOT_RECORDED = Span()
