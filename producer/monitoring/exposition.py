"""`/metrics` and `/healthz` of the dispatcher, over HTTP."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from contract.errors import ErrorCode, PermanentError
from contract.settings import Settings
from producer.monitoring.metrics import ClusterMetrics

log = structlog.get_logger(__name__)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    """A scrape that hangs must not keep the next one, or a probe, waiting."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing: probes come every few seconds."""


@contextmanager
def serving_metrics(config: Settings, is_alive: Callable[[], bool]) -> Iterator[None]:
    """Serve both at CUTOUT_METRICS_PORT, if that is set, from a thread.

    `is_alive`: whether the process does its work; else `/healthz` answers 503. Raises
    PermanentError (`invalid_setting`) if the port is taken.
    """
    if config.metrics_port is None:
        yield
        return
    metrics = ClusterMetrics(config.require_redis_address())
    address, port = config.metrics_address, config.metrics_port
    try:
        server = make_server(
            address, port, wsgi(metrics, is_alive), server_class=_Server, handler_class=_Handler
        )
    except OSError as error:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, f"CUTOUT_METRICS_PORT {port} of {address}: {error.strerror}."
        ) from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("serving metrics", address=address, port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def wsgi(metrics: Collector, is_alive: Callable[[], bool]) -> Wsgi:
    """Return the application: `/metrics`, `/healthz`, and 404 for the rest."""
    registry = CollectorRegistry()
    registry.register(metrics)
    exposition = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                scraped: Iterable[bytes] = exposition(environ, start)
                return scraped
            case "/healthz" if is_alive():
                status, text = "200 OK", b"ok\n"
            case "/healthz":
                status, text = "503 Service Unavailable", b"the dispatcher does not run\n"
            case _:
                status, text = "404 Not Found", b"/metrics or /healthz\n"
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text]

    return answer
