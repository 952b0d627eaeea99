"""Celery's consumer, made to outlive Redis: the few things its own leaves undone without a broker.

While Redis is away, the main process waits for it and hears nothing else: what its children answer
stays in their pipes, and the time limits of their images go on.
"""

import select
import time
import warnings
from collections.abc import Callable
from functools import partial
from inspect import isgenerator
from typing import Any

from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer

PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 5
ANSWER_SECONDS = 10
"""A child that has begun an answer ends it at once, unless it is stopped."""


class Consumer(consumer.Consumer):
    hub: Any
    pool: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.hub is not None:
            self.hub.reset = partial(self._reset, self.hub.reset)

    def ensure_connected(self, conn: Any) -> Any:
        # Celery's own pauses grow to 30 s
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=PAUSE_SECONDS, interval_step=PAUSE_SECONDS,
            interval_max=LONGEST_PAUSE_SECONDS,
        )  # fmt: skip
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        with warnings.catch_warnings():
            # of a default that may change, for an option that app.py sets
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        # a Redis that answers and takes no writes is tried again at once by Celery, for ever
        time.sleep(PAUSE_SECONDS)

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        self._read_answers(hub)

    def _reset(self, reset: Callable[[], None]) -> None:
        """Have the hub forget the lost connection, but no half of a child's answer.

        Celery forgets it, takes what follows for the beginning of the next answer, and never hears
        of that child again.
        """
        for fd, callback in list(self.hub.readers.items()):
            if callback and isgenerator(callback[0]):
                _finish(fd, callback[0])
        reset()

    def _read_answers(self, hub: Any) -> None:
        """Hear what children have answered before their limits are looked at.

        The limits of images finished long ago would else be overdue, and end processes that are
        idle, or at their next image.
        """
        pool = self.pool._pool  # noqa: SLF001 - Celery's own names for its pool of processes
        for fd in list(pool._fileno_to_outq):  # noqa: SLF001
            while _readable(fd, 0) and not isgenerator(hub.readers[fd][0]):
                pool.handle_result_event(fd)


def _finish(fd: int, answer: Any) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while _readable(fd, deadline - time.monotonic()):
        try:
            next(answer)
        except (StopIteration, OSError, EOFError):
            return


def _readable(fd: int, seconds: float) -> bool:
    return bool(select.select([fd], [], [], max(0, seconds))[0])
