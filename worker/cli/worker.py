"""`cutout worker`."""

import os
import socket
import sys
from typing import Annotated

import typer

from contract import log, names, traces
from contract.cpus import available_cpus
from contract.ledger.connection import Connection
from contract.ledger.server_check import check_server
from contract.ledger.shared_settings import check_shared
from contract.ledger.workers import WorkerRegistry, check_clock
from contract.settings import Settings, settings
from worker.cpu.count import default_children

MAIN_PROCESS_CONNECTIONS = 4
"""Connections to Redis that a worker has open besides one per child."""

Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        "-c",
        min=1,
        help="Worker processes (default: one per CPU plus one per four CPUs).",
    ),
]
Quarantine = Annotated[
    bool,
    typer.Option(
        "--quarantine",
        help="Process only quarantined images (an earlier attempt crashed its worker process):"
        " one at a time, each in a new process with limited memory. One such worker per model is"
        " enough for a cluster; without any, they wait.",
    ),
]
Interactive = Annotated[
    bool,
    typer.Option(
        "--interactive",
        help="Process only cutouts (images that a client waits for), so that none waits"
        " behind the images of a batch.",
    ),
]


def worker(
    concurrency: Concurrency = None,
    quarantine: Quarantine = False,
    interactive: Interactive = False,
) -> None:
    """Process images from the queues of one model (CUTOUT_MODEL) until stopped.

    By default, cutouts come first, then the images of batches.

    SIGTERM stops the worker cleanly: it finishes the images it is processing and leaves all others
    in the queue.

    Exit status: 0 stopped on request; 1 could not start; 75 deaf (messages waited in its queue, and
    it received none), stuck, or ended by an unexpected error: start it again.
    """
    from worker.app import create_app  # noqa: PLC0415 - Celery is slow to import
    from worker.runtime import prepare  # noqa: PLC0415
    from worker.supervision.exit_status import exit_status  # noqa: PLC0415
    from worker.supervision.watchdog import watched  # noqa: PLC0415

    config = settings()
    queues = _queues(config.model, quarantine=quarantine, interactive=interactive)
    name = f"{queues[-1]}-{os.getpid()}@{socket.gethostname()}"
    log.configure(config, name)
    traces.check()  # its children start them
    children = 1 if quarantine else concurrency or default_children(available_cpus())
    _check_redis(config, children)
    prepare(config, children, name, quarantine=quarantine, interactive=interactive)
    celery = create_app(children, quarantine=quarantine)
    with watched(celery, config, name, queues[-1], children):
        celery.worker_main(
            [
                "--quiet", "worker", "--hostname", name, "--queues", ",".join(queues),
                "--without-gossip", "--without-mingle", "--loglevel", config.log_level,
            ]
        )  # fmt: skip
    sys.exit(exit_status())


def _check_redis(config: Settings, children: int) -> None:
    connection = Connection(config.require_redis_address(), retries=0)
    check_server(connection, children + MAIN_PROCESS_CONNECTIONS)
    registry = WorkerRegistry(connection)
    check_clock(registry)
    check_shared(registry, config)
    connection.close()  # or every child would inherit it and keep it open


def _queues(model: str, *, quarantine: bool, interactive: bool) -> list[str]:
    """Return the queues to serve, in order of priority."""
    if quarantine:
        return [names.quarantine_queue(model)]
    if interactive:
        return [names.interactive_queue(model)]
    return [names.interactive_queue(model), names.bulk_queue(model)]
