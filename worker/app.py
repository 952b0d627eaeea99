"""The Celery app of the workers: every option with its reason."""

import os
import resource
import signal
from typing import Any

import structlog
from billiard.process import current_process
from celery import Celery, signals
from setproctitle import setproctitle

from contract import log, traces
from contract.broker import broker_options
from contract.settings import settings
from worker.celery_hooks.check import check_names
from worker.celery_hooks.loader import SafeLoader
from worker.celery_hooks.notices import hide_notices
from worker.runtime import plan, runtime, worker_name
from worker.supervision.exit_status import record_load_failure
from worker.supervision.heartbeat import set_loaded

logger = structlog.get_logger(__name__)

LOAD_SECONDS = 300
"""Time a new child may take to load its model before Celery kills it."""

HARD_LIMIT_GRACE = 1.25
"""Hard time limit divided by soft time limit."""

NICENESS = 10
"""Nice value of children that process batches. On a busy machine, each gets about a ninth of the
CPU time of a process with nice value 0 (the API, children of an `--interactive` worker), and all
that those leave idle. The kernel compares nice values within one container or session only."""

QUARANTINE_ADDRESS_SPACE = 4 * 1024**3
"""Address space of a quarantine child in bytes. U²-Net needs 2.5 GB for 100 megapixels; beyond this
limit the child gets a MemoryError, instead of the kernel killing any process of the machine."""


def create_app(concurrency: int, *, quarantine: bool) -> Celery:
    """Build the app. It connects, and its children load the model, only when a worker starts.

    Raises PermanentError (`incompatible_version`).
    """
    check_names()
    config = settings()
    app = Celery("cutout", include=["worker.tasks"], loader=SafeLoader)
    app.conf.update(
        **broker_options(config),
        # at-least-once: a message is acknowledged after its image is settled, and returned to the
        # queue if the child dies
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # and if the hard time limit ended the child: the image then goes to quarantine
        task_acks_on_timeout=False,
        # a quarantined image may have damaged its process: each gets a new one
        worker_max_tasks_per_child=1 if quarantine else None,
        # a child holds only the message it is processing, so no image waits behind a busy child
        # while another child is idle, or while a cutout arrives
        worker_prefetch_multiplier=1,
        # results are stored in the ledger
        task_ignore_result=True,
        # JSON only: other serializers can execute code
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        # the soft limit raises an exception in the task; code in C ignores that, so the hard limit
        # then kills the child
        task_soft_time_limit=config.time_limit / HARD_LIMIT_GRACE,
        task_time_limit=config.time_limit,
        # anyone who reaches Redis could stop the worker, or have it consume from other queues
        worker_enable_remote_control=False,
        # Flower is fed by these events
        worker_send_task_events=True,
        # Celery's default is 4 s
        worker_proc_alive_timeout=LOAD_SECONDS,
        # Redis may restart at any time, and may start after the worker
        broker_connection_retry_on_startup=True,
        broker_connection_retry=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        # children finish and settle their images; when the messages are delivered again, they are
        # found settled
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_concurrency=concurrency,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app


@signals.setup_logging.connect  # a connected handler also disables Celery's own logging setup
def _configure_logging(**_: Any) -> None:
    log.configure(settings(), worker_name())
    if settings().log_format == "json":
        hide_notices()


@signals.worker_process_init.connect
def _initialize_child(**_: Any) -> None:
    setproctitle(f"cutout worker {settings().model} loading")
    if not plan().interactive:
        os.nice(NICENESS)
    child: int = current_process().index  # type: ignore[attr-defined]  # position in the pool
    plan().meters.attach(child)
    set_loaded(child, loaded=False)  # an earlier child at this position may have been loaded
    if plan().quarantine:
        # the model is loaded with the image: a child is started for each, and they are rare
        limit = (QUARANTINE_ADDRESS_SPACE, QUARANTINE_ADDRESS_SPACE)
        resource.setrlimit(resource.RLIMIT_AS, limit)
    else:
        _load_model()
    set_loaded(child, loaded=True)
    setproctitle(f"cutout worker {settings().model} idle")
    # last, as an error would skip what follows; its thread would not survive a fork
    traces.start("cutout-worker")


@signals.worker_process_shutdown.connect
def _end_child(**_: Any) -> None:
    traces.stop()


def _load_model() -> None:
    try:
        runtime()
    except BaseException as error:
        # Celery ignores this exception, and the child would fail every image: stop the worker
        logger.critical("model not loaded", reason=str(error))
        record_load_failure()
        os.kill(os.getppid(), signal.SIGTERM)
        raise
