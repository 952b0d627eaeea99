"""A collector of traces, as OpenTelemetry's own: OTLP over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from support.receivers import Receiver, answer, receiving


@dataclass(frozen=True)
class Span:
    trace: str
    id: str
    parent: str
    """empty: none"""
    name: str
    attributes: dict[str, Any]
    process: dict[str, Any]
    """attributes of the process that recorded it"""
    failed: bool


@dataclass
class Collector:
    receiver: Receiver

    @property
    def env(self) -> dict[str, str]:
        """Return the variables of a process that sends its traces here, soon."""
        endpoint = f"http://127.0.0.1:{self.receiver.port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    @property
    def bytes(self) -> bytes:
        """Return all that was received."""
        return b"".join(request.body for request in self.receiver.requests)

    def spans(self, trace: str = "") -> list[Span]:
        """Return what was received until now: all of it, or one trace."""
        found = []
        for request in list(self.receiver.requests):
            assert request.path == "/v1/traces"
            for part in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                process = attributes(part.resource.attributes)
                found += [
                    Span(
                        span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                        span.name, attributes(span.attributes), process,
                        span.status.code == Status.STATUS_CODE_ERROR,
                    )
                    for scope in part.scope_spans
                    for span in scope.spans
                ]  # fmt: skip
        return [span for span in found if trace in {"", span.trace}]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans() if span.name == name]


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting() -> Iterator[Collector]:
    with receiving(answer(200)) as receiver:
        yield Collector(receiver)
