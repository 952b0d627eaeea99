"""Traces: one from an HTTP request, or from the publishing of a batch's line, to the last output.

They are off unless one of ENDPOINTS is set; all functions may be called in any case. What
OpenTelemetry does is in `contract.open_telemetry`, which is imported only if traces are on.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

import structlog

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.span import NOT_RECORDED, Attributes, Kind, Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
"""The only one that traces are sent by."""

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Tracer(Protocol):
    """Creates spans and sends them."""

    def begin(self, name: str, kind: Kind, parent: str, attributes: Attributes) -> Span: ...

    def current(self) -> Span: ...

    def stop(self) -> None: ...


_tracers: list[Tracer] = []
"""the one of this process, if traces are on"""


def are_wanted() -> bool:
    """Return whether the environment asks for traces."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    off = off or os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


def check() -> None:
    """Raise PermanentError (`extra_missing`, `invalid_setting`) if wanted traces cannot be sent."""
    if not are_wanted():
        return
    for variable in PROTOCOLS:
        if os.environ.get(variable) not in {None, "", PROTOCOL}:
            raise PermanentError(
                ErrorCode.INVALID_SETTING, f"{variable}: traces are sent by {PROTOCOL} alone."
            )
    try:
        from contract import open_telemetry  # noqa: F401, PLC0415 - an extra; slow to import
    except ImportError:
        variable = next(name for name in ENDPOINTS if os.environ.get(name))
        raise PermanentError(
            ErrorCode.EXTRA_MISSING,
            f"{variable} is set, and OpenTelemetry is not installed: it is in the extra `traces`.",
        ) from None


def start(service: str) -> None:
    """Begin to send traces if they are wanted: in a process that does not fork. Raises as `check`.

    `service`: what traces call this kind of process, unless OTEL_SERVICE_NAME is set.
    """
    check()
    if not are_wanted() or _tracers:
        return
    from contract import open_telemetry  # noqa: PLC0415 - an extra; slow to import

    try:
        _tracers.append(open_telemetry.OtlpTracer(service))
    except ValueError as error:  # the library refuses one of its own variables
        log.error("traces are off", reason=str(error))  # noqa: TRY400 - one sentence says it


def stop() -> None:
    """Send what is left, for a moment; then traces are off."""
    while _tracers:
        _tracers.pop().stop()


@contextmanager
def sending(service: str) -> Iterator[None]:
    """Send traces within the context. Parameter and errors as those of `start`."""
    start(service)
    try:
        yield
    finally:
        stop()


def are_on() -> bool:
    return bool(_tracers)


@contextmanager
def span(
    name: str, kind: Kind = "internal", parent: str = "", attributes: Attributes | None = None
) -> Iterator[Span]:
    """Time a step, as the current span. An exception marks it as failed, by code or class alone.

    `parent`: the `traceparent` of another process's span; empty: the current one, if any.
    """
    if not _tracers:
        yield NOT_RECORDED
        return
    one = _tracers[0].begin(name, kind, parent, attributes or {})
    try:
        with one.current():
            yield one
    except BaseException as error:
        one.fail(str(getattr(error, "code", type(error).__name__)))
        raise
    finally:
        one.end()


@contextmanager
def spans(
    name: str, kind: Kind, things: Sequence[T], attributes: Callable[[T], Attributes]
) -> Iterator[list[Span]]:
    """Time a step that handles many things at once: one span each, in order. None is current."""
    if not _tracers:
        yield [NOT_RECORDED] * len(things)
        return
    begun = [_tracers[0].begin(name, kind, "", attributes(thing)) for thing in things]
    try:
        yield begun
    except BaseException as error:
        for one in begun:
            one.fail(str(getattr(error, "code", type(error).__name__)))
        raise
    finally:
        for one in begun:
            one.end()


def annotate(attributes: Attributes) -> None:
    """Add attributes to the current span, if there is one."""
    if _tracers:
        _tracers[0].current().set(attributes)


def line_attributes(batch: str, line: int, key: str) -> Attributes:
    """Return the attributes that name an image of a batch, or a cutout."""
    return {"cutout.batch": batch, "cutout.line": line, "cutout.key": names.printable(key)}
