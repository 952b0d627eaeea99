"""The long-running processes of a cluster, beside the workers."""

import signal
import sys

import typer

from contract import log, traces
from contract.ledger.connection import Connection
from contract.ledger.server_check import check_server
from contract.ledger.shared_settings import check_shared
from contract.ledger.workers import WorkerRegistry, check_clock
from contract.settings import settings
from producer.cli.options import open_ledger

app = typer.Typer()


@app.command()
def dispatch() -> None:
    """Publish the images of open batches to the workers, write the reports, send the callbacks.

    Runs until SIGTERM or Ctrl-C. Several may run: one is active, and another takes over if it
    stops.
    """
    from producer.callbacks.schedule import CallbackSchedule  # noqa: PLC0415
    from producer.dispatch.callbacks import delivering_callbacks  # noqa: PLC0415
    from producer.dispatch.dispatcher import Dispatcher  # noqa: PLC0415
    from producer.monitoring.metrics import serving_cluster_metrics  # noqa: PLC0415

    log.configure(settings())
    stop = False

    def on_signal(*_: object) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    _check_redis()
    ledger = open_ledger()
    dispatcher = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    metrics = serving_cluster_metrics(settings(), dispatcher.is_alive, dispatcher.is_leading)
    with traces.sending("cutout-dispatcher"), metrics, delivering_callbacks(ledger):
        dispatcher.run(lambda: stop)


@app.command()
def serve() -> None:
    """Serve the HTTP API and the web page at CUTOUT_WEB_ADDRESS and CUTOUT_WEB_PORT.

    Needs a running `cutout worker`, and `cutout dispatch` for batches, callbacks, and images whose
    worker vanished.
    """
    from producer.web.app import serve as run_server  # noqa: PLC0415 - FastAPI is slow to import

    log.configure(settings())
    _check_redis()
    with traces.sending("cutout-api"):
        run_server(settings())


@app.command()
def flower() -> None:
    """Serve Flower, a monitor of the workers, at CUTOUT_FLOWER_ADDRESS and CUTOUT_FLOWER_PORT.

    It is read-only. Its /metrics also has the lengths of queues, the progress of batches and the
    clock skew of the workers.
    """
    from producer.monitoring.flower import serve_flower  # noqa: PLC0415

    log.configure(settings())
    _check_redis()
    sys.exit(serve_flower(settings()))


def _check_redis() -> None:
    """Check what must be right in Redis. Tries once: it may start later. Raises PermanentError."""
    connection = Connection(settings().require_redis_address(), retries=0)
    check_server(connection)
    registry = WorkerRegistry(connection)
    check_clock(registry)
    check_shared(registry, settings())
    connection.close()
