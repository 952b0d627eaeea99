"""Spans by OpenTelemetry, sent from a thread by OTLP over HTTP. Needs the extra `traces`.

Its own environment variables say where to and which share: OTEL_EXPORTER_OTLP_*,
OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
"""

import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from contract.span import Attributes, Kind, Span

log = structlog.get_logger(__name__)

STOP_SECONDS = 1
"""How long a process that ends waits for its last spans to be sent."""
DISTRIBUTION = "cutout-queue"

_W3C = TraceContextTextMapPropagator()
_KINDS = {
    "internal": trace.SpanKind.INTERNAL, "server": trace.SpanKind.SERVER,
    "producer": trace.SpanKind.PRODUCER, "consumer": trace.SpanKind.CONSUMER,
}  # fmt: skip


class RecordedSpan(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span))
        return carrier.get("traceparent", "")

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()

    def current(self) -> AbstractContextManager[object]:
        # an exception's text may hold a URL or a key: only `fail` says what went wrong
        return trace.use_span(self._span, record_exception=False, set_status_on_exception=False)


class OtlpTracer:
    """Sends in a thread from a bounded queue. If that is full, the oldest spans are dropped."""

    def __init__(self, service: str) -> None:
        self._exporter = Exporter()
        # at exit the provider would wait for up to 30 s
        self._provider = TracerProvider(resource=resource(service), shutdown_on_exit=False)
        # signals must reach the main thread; the processor's thread inherits this
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._tracer = self._provider.get_tracer("cutout")

    def begin(self, name: str, kind: Kind, parent: str, attributes: Attributes) -> Span:
        context = _W3C.extract({"traceparent": parent}) if parent else None
        return RecordedSpan(self._tracer.start_span(name, context, _KINDS[kind], attributes))

    def current(self) -> Span:
        return RecordedSpan(trace.get_current_span())

    def stop(self) -> None:
        """Send what is left for STOP_SECONDS."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


class Exporter(OTLPSpanExporter):
    """Logs when spans cannot be sent, once: the library does so every few seconds, with the URL."""

    _failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._failed:
            log.warning("traces not sent")
        elif self._failed and not failed:
            log.info("traces are sent again")
        self._failed = failed
        return result


def resource(service: str) -> Resource:
    """Return the attributes of every span of this process; the user's own override them."""
    try:
        release = version(DISTRIBUTION)
    except PackageNotFoundError:
        release = "unknown"  # run from a source folder that was never installed
    ours = Resource(
        {"service.name": service, "service.version": release, "host.name": socket.gethostname()}
    )
    return Resource.create().merge(ours).merge(OTELResourceDetector().detect())
