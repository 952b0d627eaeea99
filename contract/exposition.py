"""`/metrics` and `/healthz` of dispatcher, worker and API, over HTTP on a port of their own.

The port has no authentication: it listens on a loopback address unless CUTOUT_METRICS_ADDRESS says
otherwise, and never on the API's port, which may be public.
"""

import os
import signal
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from contract.counters import Rows
from contract.errors import ErrorCode, PermanentError
from contract.metrics import MetricSpec
from contract.settings import Settings

log = structlog.get_logger(__name__)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Family = GaugeMetricFamily | CounterMetricFamily

SILENT_SECONDS = 10
"""How long a client may send nothing before its connection is closed."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A scrape that hangs must not keep the next one, or a probe, waiting."""

    daemon_threads = True

    def __init__(self, address: str, port: int, application: Wsgi) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        """Bind, without WSGIServer's query of the host's name, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.setup_environ()

    def handle_error(self, *_: object) -> None:
        """Log nothing: a client went away."""


class _Handler(WSGIRequestHandler):
    timeout = SILENT_SECONDS

    def log_message(self, *_: object) -> None:
        """Log nothing: probes come every few seconds."""


@contextmanager
def serving_metrics(
    config: Settings, collectors: Iterable[Collector], is_alive: Callable[[], bool]
) -> Iterator[None]:
    """Serve both at CUTOUT_METRICS_PORT, if that is set, from threads.

    `is_alive`: whether the process does its work; else `/healthz` answers 503. Raises
    PermanentError (`invalid_setting`) if the port is taken.
    """
    if config.metrics_port is None:
        yield
        return
    address, port = config.metrics_address, config.metrics_port
    try:
        server = _Server(address, port, wsgi(collectors, is_alive))
    except OSError as error:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, f"CUTOUT_METRICS_PORT {port} of {address}: {error.strerror}."
        ) from None
    # else a child that outlives a worker's main process keeps the port from the next worker
    os.register_at_fork(after_in_child=server.socket.close)
    threading.Thread(target=_serve, args=(server,), name="metrics", daemon=True).start()
    log.info("serving metrics", address=address, port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _serve(server: _Server) -> None:
    # signals must reach the main thread; the threads of requests inherit this
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    server.serve_forever()


def wsgi(collectors: Iterable[Collector], is_alive: Callable[[], bool]) -> Wsgi:
    """Return the application: `/metrics`, `/healthz`, and 404 for the rest."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)  # process_cpu_seconds_total, process_open_fds, ...
    for collector in collectors:
        registry.register(collector)
    exposition = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                scraped: Iterable[bytes] = exposition(environ, start)
                return scraped
            case "/healthz" if is_alive():
                status, text = "200 OK", b"ok\n"
            case "/healthz":
                status, text = "503 Service Unavailable", b"the process does not work\n"
            case _:
                status, text = "404 Not Found", b"/metrics or /healthz\n"
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text]

    return answer


class CounterMetrics(Collector):
    """Exports counters and histograms."""

    def __init__(self, specs: Iterable[MetricSpec], rows: Callable[[], Rows]) -> None:
        """`rows`: returns the present counts. Of them, only those of `specs` are exported."""
        self._specs = [spec for spec in specs if spec.type != "gauge"]
        self._rows = rows

    def describe(self) -> Iterable[Metric]:
        """Return no descriptions, so that registering reads nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        rows = self._rows()
        for spec in self._specs:
            series = {labels: row for (name, labels), row in rows.items() if name == spec.name}
            if spec.type == "histogram":
                yield _histogram(spec, series)
                continue
            counts = family(spec)
            for labels in dict.fromkeys((*spec.initial, *sorted(series))):
                counts.add_metric(labels, series.get(labels, [0.0])[0])
            yield counts


def family(spec: MetricSpec) -> Family:
    """Return an empty family of a gauge or counter, to be filled with samples."""
    kind = CounterMetricFamily if spec.type == "counter" else GaugeMetricFamily
    return kind(spec.name, spec.help, labels=spec.labels)


def _histogram(spec: MetricSpec, series: dict[tuple[str, ...], list[float]]) -> Metric:
    bounds = [*map(str, map(float, spec.buckets)), "+Inf"]
    histogram = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, (*counts, seconds) in sorted(series.items()):
        histogram.add_metric(
            labels, list(zip(bounds, accumulate(counts), strict=True)), sum_value=seconds
        )
    return histogram
