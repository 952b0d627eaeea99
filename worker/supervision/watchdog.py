"""Ends a worker that is deaf or stuck, so that whatever started it starts another.

A worker can lose its ear with the connection up: it lives, its slots are free, and the messages
that wait in its queue never reach it. And its main loop can stand still. Both end with status 75.
"""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import kombu
import structlog
from billiard.process import active_children
from celery import Celery
from celery.worker import state

from contract.errors import CutoutError
from contract.ledger.connection import Connection
from contract.ledger.protocol import Worker
from contract.ledger.workers import WorkerRegistry
from contract.settings import Settings
from worker.celery_hooks import consumer
from worker.supervision import heartbeat
from worker.supervision.heartbeat import Pulse

log = structlog.get_logger(__name__)

WATCH_SECONDS = 10
DEAF_SECONDS = 120
"""No task for so long, with one waiting and a slot free. A worker that hears takes it at once."""
STOP_GRACE_SECONDS = 10
"""Beyond the time limit of an image, until an orderly stop has failed."""
ANSWER_SECONDS = 3
LAST_WORDS_SECONDS = 5
FRAMES = 15


class Verdict(StrEnum):
    SOUND = "sound"
    DEAF = "deaf"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Seen:
    """The worker at one moment."""

    now: float
    beat: float
    stopping: bool
    waiting: int | None
    """messages in the queue; None where Redis does not answer"""
    free: int
    """children with a model and no task"""
    started: int
    """tasks begun, ever"""


class Judge:
    """Draws the verdict from what is seen in a row. Knows no clock and no worker."""

    def __init__(self, stop_seconds: float) -> None:
        self._stop_seconds = stop_seconds
        self._last: Seen | None = None
        self._away = 0.0
        self._unheard: float | None = None
        self._stopping: float | None = None

    def verdict(self, seen: Seen) -> Verdict:
        last, self._last = self._last, seen
        if seen.waiting is None:
            # the loop may be held up by what holds us up: calls that Redis never answers, in a row
            self._away = seen.now
        if last is None or seen.now - last.now > 3 * WATCH_SECONDS:
            # the whole process stood still (SIGSTOP, a laptop asleep): that says nothing of the
            # main loop, which is about to wake as well
            self._unheard = None
            return Verdict.SOUND
        if seen.stopping:
            # a stop may take as long as an image may, and the loop beats no more
            if self._stopping is None:
                self._stopping = seen.now
            late = seen.now - self._stopping > self._stop_seconds
            return Verdict.STUCK if late else Verdict.SOUND
        if seen.now - max(seen.beat, self._away) > heartbeat.STALE_SECONDS:
            return Verdict.STUCK
        if not seen.waiting or seen.free <= 0 or seen.started != last.started:
            self._unheard = None
            return Verdict.SOUND
        if self._unheard is None:
            self._unheard = seen.now
        return Verdict.DEAF if seen.now - self._unheard >= DEAF_SECONDS else Verdict.SOUND


class Watch(threading.Thread):
    """Looks at the worker every few seconds, and tells the others that it is there."""

    def __init__(
        self, pulse: Pulse, config: Settings, name: str, queue: str, children: int
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self._pulse = pulse
        self._worker = (name, queue, children)
        self._judge = Judge(config.time_limit + STOP_GRACE_SECONDS)
        connection = Connection(config.require_redis_url(), retries=0, timeout=ANSWER_SECONDS)
        self._presence = WorkerRegistry(connection)
        self._over = threading.Event()

    def run(self) -> None:
        # a signal taken here would not wake the main thread, which is where it is answered
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            try:
                self._look()
            except Exception as error:
                log.exception("the watch stumbled", exc_info=error)
            if self._over.wait(WATCH_SECONDS):
                return

    def stop(self) -> None:
        self._over.set()
        self.join(3 * ANSWER_SECONDS)
        with contextlib.suppress(CutoutError):
            self._presence.unregister(self._worker[0])

    def _look(self) -> None:
        waiting = self._announce()
        seen = Seen(
            now=time.monotonic(),
            beat=self._pulse.at,
            stopping=state.should_stop is not None or state.should_terminate is not None,
            waiting=waiting,
            free=heartbeat.loaded_children() - len(state.active_requests),
            started=state.all_total_count[0],
        )
        verdict = self._judge.verdict(seen)
        if self._over.is_set():
            return
        if verdict is Verdict.DEAF:
            log.critical("worker is deaf", waiting=seen.waiting, free=seen.free)
            state.should_stop = os.EX_TEMPFAIL  # type: ignore[assignment]  # the stub says None
        elif verdict is Verdict.STUCK:
            self._end(seen)

    def _announce(self) -> int | None:
        """Say that we are there. Returns the length of the queue, or None without an answer."""
        name, queue, children = self._worker
        try:
            skew = self._presence.clock_skew()
            self._presence.register(
                Worker(name=name, queue=queue, children=children, clock_skew=skew)
            )
            return self._presence.queue_length(queue)
        except CutoutError:
            return None

    def _end(self, seen: Seen) -> None:
        """Leave at once. No child is left behind with an image in hand."""
        last_words = threading.Timer(LAST_WORDS_SECONDS, os._exit, (os.EX_TEMPFAIL,))
        last_words.daemon = True
        last_words.start()  # the loop may be stuck in a write to the log: ours would be as well
        for pid in [child.pid for child in active_children() if child.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._pulse.stop()
        log.critical(
            "worker is stuck", silent=round(seen.now - seen.beat), stopping=seen.stopping,
            where=_main_thread(),
        )  # fmt: skip
        os._exit(os.EX_TEMPFAIL)


def _main_thread() -> str:
    """Return where the main thread is: the only trace of why it is stuck."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001
    rows = traceback.extract_stack(frame)[-FRAMES:]
    return " > ".join(f"{Path(row.filename).name}:{row.lineno} {row.name}" for row in rows)


class Consumer(consumer.Consumer):
    """Beats in the event loop."""

    pulse: Pulse  # `heart` is Celery's own, which beats over the broker

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        # Celery cancels what is registered here with the connection, and comes here again
        hub.call_repeatedly(1, self._beat)
        self._beat()

    def _beat(self) -> None:
        # these timers go on while an orderly stop waits for images in hand
        self.pulse.beat(connected=self.blueprint.human_state() == "running")


class Broker(kombu.Connection):
    """Beats in every wait for Redis, where no timer fires.

    There are two: the consumer's, and that of the event which was to be sent when Redis went away.
    Either lasts as long as Redis is away.
    """

    pulse: Pulse

    def _ensure_connection(
        self, *arguments: Any, callback: Callable[[], None] | None = None, **options: Any
    ) -> Any:
        def every_second() -> None:
            self.pulse.beat(connected=False)
            if callback:
                callback()

        if not self.connected:
            self.pulse.beat(connected=False)
        options["callback"] = every_second
        return super()._ensure_connection(*arguments, **options)


@contextlib.contextmanager
def watched(app: Celery, config: Settings, name: str, queue: str, children: int) -> Iterator[None]:
    """Have the worker that runs meanwhile beat, and watch it."""
    pulse = Pulse(config.state_dir.expanduser() / "workers", queue, children)
    app.conf.worker_consumer = type("Consumer", (Consumer,), {"pulse": pulse})
    app.amqp.Connection = type("Broker", (Broker,), {"pulse": pulse})
    watch = Watch(pulse, config, name, queue, children)
    watch.start()
    try:
        yield
    finally:
        watch.stop()
        pulse.stop()
