"""Ends a worker that is deaf or stuck with exit status 75, so that its supervisor restarts it.

Deaf: connected and idle, but no messages arrive. Seen again and again with Redis as the broker:
https://github.com/celery/celery/issues/8030 https://github.com/celery/celery/issues/10205
Stuck: the main loop stands still.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import structlog
from billiard.process import active_children
from celery import Celery
from celery.worker import state

from contract.errors import CutoutError
from contract.exposition import serving_metrics
from contract.ledger.connection import Connection
from contract.ledger.records import Worker
from contract.ledger.shared_settings import SharedSettings
from contract.ledger.workers import WorkerRegistry
from contract.settings import Settings
from worker.celery_hooks.events import EventShare, limit_events
from worker.runtime import plan
from worker.supervision import heartbeat, policy
from worker.supervision.comparison import REVIEW_SECONDS, Comparison
from worker.supervision.heartbeat import HeartbeatFile
from worker.supervision.main_loop import supervise
from worker.supervision.outlier import OutlierCheck
from worker.supervision.policy import HealthPolicy, Verdict, WorkerSample
from worker.supervision.worker_metrics import WorkerMetrics

log = structlog.get_logger(__name__)

REPLY_SECONDS = 3
"""Seconds to wait for a Redis reply."""
LOG_SECONDS = 5
"""How long a stuck worker may take to log that it is stuck before it is ended anyway."""
MAX_FRAMES = 15
"""Number of stack frames logged of a stuck main thread."""


class Watchdog(threading.Thread):
    """Samples this worker every few seconds, registers it in Redis, and compares it with others."""

    def __init__(
        self, file: HeartbeatFile, outlier_check: OutlierCheck, config: Settings, name: str,
        queue: str, children: int,
    ) -> None:  # fmt: skip
        super().__init__(name="watchdog", daemon=True)
        self._heartbeat_file = file
        self._outlier_check = outlier_check
        self._worker = (name, queue, children)
        self._policy = HealthPolicy(config.time_limit + policy.STOP_GRACE_SECONDS)
        connection = Connection(config.require_redis_address(), retries=0, timeout=REPLY_SECONDS)
        self._registry = WorkerRegistry(connection)
        self._comparison = Comparison(outlier_check, connection, name, queue)
        self._shared_settings = SharedSettings(self._registry, config)
        self.event_share = EventShare()
        self._started_tasks = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        # signals must reach the main thread, which handles them: one taken here would not wake it
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        due = 0.0
        while True:
            try:
                changed = self._comparison.review_if_due()
                if changed or time.monotonic() >= due:
                    due = time.monotonic() + policy.WATCH_SECONDS
                    self._check()
            except Exception as error:
                log.exception("watchdog error", exc_info=error)
            if self._stopped.wait(min(REVIEW_SECONDS, policy.WATCH_SECONDS)):
                return

    def stop(self) -> None:
        self._stopped.set()
        self.join(3 * REPLY_SECONDS)
        with contextlib.suppress(CutoutError):
            self._registry.unregister(self._worker[0])

    def _check(self) -> None:
        queue_length = self._register()
        sample = WorkerSample(
            time=time.monotonic(),
            last_beat=self._heartbeat_file.last_beat,
            stopping=state.should_stop is not None or state.should_terminate is not None,
            queue_length=queue_length,
            free_children=self._free_children(),
            started_tasks=state.all_total_count[0],
        )
        self._adapt_event_share(sample.started_tasks)
        verdict = self._policy.evaluate(sample)
        if self._stopped.is_set():
            return
        if verdict is Verdict.DEAF:
            log.critical(
                "worker is deaf", queue_length=sample.queue_length, free=sample.free_children
            )
            state.should_stop = os.EX_TEMPFAIL  # type: ignore[assignment]  # the stub says None
        elif verdict is Verdict.STUCK:
            self._exit(sample)

    def _free_children(self) -> int:
        if not self._outlier_check.takes_images:
            return 0
        return heartbeat.loaded_children() - len(state.active_requests)

    def _adapt_event_share(self, started_tasks: int) -> None:
        rate = (started_tasks - self._started_tasks) / policy.WATCH_SECONDS
        self._started_tasks = started_tasks
        with contextlib.suppress(CutoutError):
            self.event_share.adapt(rate, self._registry.count())

    def _register(self) -> int | None:
        """Register this worker. Returns the length of its queue, or None if Redis is away."""
        name, queue, children = self._worker
        try:
            skew = self._registry.clock_skew()
            self._registry.register(Worker(name, queue, children, skew, self._outlier_check.reason))
            self._shared_settings.renew()
            return self._registry.queue_length(queue)
        except CutoutError:
            return None

    def _exit(self, sample: WorkerSample) -> None:
        """Kill the children and exit at once, without Celery's shutdown."""
        # logging may block too, if the main loop is stuck in a write to the log
        forced_exit = threading.Timer(LOG_SECONDS, os._exit, (os.EX_TEMPFAIL,))
        forced_exit.daemon = True
        forced_exit.start()
        for pid in [child.pid for child in active_children() if child.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._heartbeat_file.delete()
        log.critical(
            "worker is stuck",
            silent_seconds=round(sample.time - sample.last_beat),
            stopping=sample.stopping,
            stack=_main_thread_stack(),
        )
        os._exit(os.EX_TEMPFAIL)


def _main_thread_stack() -> str:
    """Return the innermost stack frames of the main thread, which show where it is stuck."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001
    rows = traceback.extract_stack(frame)[-MAX_FRAMES:]
    return " > ".join(f"{Path(row.filename).name}:{row.lineno} {row.name}" for row in rows)


@contextlib.contextmanager
def watched(app: Celery, config: Settings, name: str, queue: str, children: int) -> Iterator[None]:
    """Supervise the worker of `app` that runs in this context, and serve its metrics.

    Raises PermanentError (`invalid_setting`) if the port of the metrics is taken.
    """
    outlier_check = OutlierCheck(name)
    folder = heartbeat.heartbeat_folder(config)
    file = HeartbeatFile(folder, queue, children, outlier_check)
    supervise(app, file, outlier_check)
    watchdog = Watchdog(file, outlier_check, config, name, queue, children)
    limit_events(app, watchdog.event_share)
    metrics = WorkerMetrics(plan().meters, file, config.model, queue)
    try:
        with serving_metrics(config, [metrics], metrics.is_alive):
            watchdog.start()
            try:
                yield
            finally:
                watchdog.stop()
    finally:
        file.delete()
