"""Celery's consumer, made to outlive Redis: the few things its own leaves undone without a broker.

While Redis is away, the main process waits for it and hears nothing else: what its children answer
stays in their pipes, and the time limits of their images go on.
"""

import select
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
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
    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]

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
        connection: Any = self.connection
        connection.close = partial(_close, connection.close)
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
        pool = self.pool._pool  # noqa: SLF001 - Celery's own names for its pool of processes
        for limit in ("_on_soft_timeout", "_on_hard_timeout"):
            strike = getattr(pool, limit)
            if not isinstance(strike, partial):  # every reconnect comes by here
                setattr(pool, limit, partial(self._strike, strike))

    def _strike(self, strike: Callable[..., None], job: int, *limits: Any) -> None:
        """Hear what children have answered before an image's time is said to be over.

        The limit of one finished long ago would else end a process that is idle, or at its next.
        """
        pool = self.pool._pool  # noqa: SLF001
        try:
            for fd in list(pool._fileno_to_outq):  # noqa: SLF001
                while fd in self.hub.readers and _readable(fd, 0):
                    self._read(fd, pool.handle_result_event)
        finally:
            strike(job, *limits)

    def _read(self, fd: int, begin: Callable[[int], None]) -> None:
        if half := self._half_read().get(fd):
            _finish(fd, half)
        else:
            begin(fd)

    def _half_read(self) -> dict[int, Any]:
        """Return the answers of which the hub has read the beginning, each as a generator."""
        readers = self.hub.readers.items()
        return {fd: reader[0] for fd, reader in readers if reader and isgenerator(reader[0])}

    def _reset(self, reset: Callable[[], None]) -> None:
        """Have the hub forget the lost connection, but no half of a child's answer.

        Celery forgets it, takes what follows for the beginning of the next answer, and never hears
        of that child again.
        """
        for fd, answer in self._half_read().items():
            # that it cannot be acknowledged any more is what a lost connection means
            with suppress(*self.connection_errors, *self.channel_errors):
                _finish(fd, answer)
        reset()


def _close(close: Callable[[], None]) -> None:
    """Close a connection that Celery has taken apart already.

    Celery does so first, and stops at a socket that fails. What is left asks for the address of a
    transport that is gone, to put back what it holds; Celery ends the worker over that. What it
    holds comes back by the visibility timeout.
    """
    with suppress(AttributeError):
        close()


def _finish(fd: int, answer: Any) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while _readable(fd, deadline - time.monotonic()):
        try:
            next(answer)
        except (StopIteration, OSError, EOFError):
            return


def _readable(fd: int, seconds: float) -> bool:
    return bool(select.select([fd], [], [], max(0, seconds))[0])
