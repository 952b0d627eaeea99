"""The Celery app of the workers: every option with its reason."""

import os
import resource
import signal
from typing import Any

import structlog
from billiard.process import current_process
from celery import Celery, signals
from setproctitle import setproctitle

from contract import log
from contract.settings import settings, transport_options
from worker.celery_hooks.loader import SafeLoader
from worker.runtime import plan, runtime
from worker.supervision.heartbeat import note_loaded

logger = structlog.get_logger(__name__)

LOAD_SECONDS = 300
HARD_LIMIT_GRACE = 1.25
NICENESS = 10
"""Of a child that takes batches: where a machine is busy, a ninth of the CPU of what somebody waits
for (the API, the child of an `--interactive` worker), and all that those leave. The kernel weighs
so within a container, or a session; between them it weighs those, alike if not told otherwise."""


ADDRESS_SPACE = 4 * 1024**3
"""Bytes a quarantined process may map. 100 megapixels with U²-Net take 2.5 GB; more than this is a
MemoryError in that one process instead of the kernel's choice of a victim."""


def create_app(concurrency: int, *, quarantine: bool) -> Celery:
    """Build the app. Nothing connects and nothing loads until a worker starts."""
    config = settings()
    app = Celery("cutout", broker=config.broker_url, include=["worker.tasks"], loader=SafeLoader)
    app.conf.update(
        # at-least-once: acknowledged after the image is settled; given back if the process dies
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # likewise where the hard limit ended it: its message goes back, to be sent to quarantine
        task_acks_on_timeout=False,
        # whatever such an image leaves behind in its process ends with it
        worker_max_tasks_per_child=1 if quarantine else None,
        # one message a child, the one in hand, as it is acknowledged late: none waits behind a busy
        # child, where neither an idle one nor a single image's turn would come before it
        worker_prefetch_multiplier=1,
        # results live in the ledger; a second record could only disagree
        task_ignore_result=True,
        # JSON or nothing: a message must never be able to run code
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        # soft: the task ends in order; hard: the process is replaced, because C code hears no
        # soft limit
        task_soft_time_limit=config.time_limit / HARD_LIMIT_GRACE,
        task_time_limit=config.time_limit,
        task_track_started=True,
        # what Flower lives on
        worker_send_task_events=True,
        # a replacement child that loads a model is killed after 4 s by default
        worker_proc_alive_timeout=LOAD_SECONDS,
        # Redis may be restarted at any time, and may start after us
        broker_connection_retry_on_startup=True,
        broker_connection_retry=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        # a task in hand is finished and settled; its message comes back and finds it so
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options=transport_options(config),
        worker_concurrency=concurrency,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


@signals.setup_logging.connect  # connected, it also keeps Celery from configuring its own
def _configure_logging(**_: Any) -> None:
    log.configure(settings())


@signals.worker_process_init.connect
def _load(**_: Any) -> None:
    setproctitle(f"cutout worker {settings().model} loading")
    if not plan().interactive:
        os.nice(NICENESS)
    child: int = current_process().index  # type: ignore[attr-defined]  # a place in the pool
    note_loaded(child, loaded=False)  # whatever the child before it was
    if plan().quarantine:
        # one image a process, and seldom one: the model is loaded when it comes
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    else:
        _load_model()
    note_loaded(child, loaded=True)
    setproctitle(f"cutout worker {settings().model} idle")


def _load_model() -> None:
    try:
        runtime()
    except BaseException as error:
        # Celery swallows this and would let a child without a model eat the queue: end the worker
        logger.critical("the model cannot be loaded", why=str(error))
        os.kill(os.getppid(), signal.SIGTERM)
        raise
