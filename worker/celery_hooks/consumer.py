"""Celery's consumer, made to survive the loss of its Redis connection, and malformed messages.

While Redis is away, Celery's main process waits for it and does nothing else: answers of its
children (task finished or failed) stay in their pipes, and the time limits of tasks keep running.
"""

import select
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import isgenerator
from typing import Any

import structlog
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import consumer

from worker.celery_hooks.messages import MessageFilter
from worker.celery_hooks.request import count_dropped_message

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 1
"""Pause before the second attempt to connect; each further pause is this much longer."""
MAX_RECONNECT_SECONDS = 5
"""Longest pause between two attempts to connect."""
EVENT_SECONDS = 1
"""How long events of tasks are collected before they are sent to Flower in one message. Celery
sends them whenever its event loop turns: up to three messages per image."""
ANSWER_SECONDS = 10
"""How long to wait for the rest of an answer that a child has begun to write."""


class Consumer(consumer.Consumer):
    hub: Any
    pool: Any
    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]
    event_dispatcher: Any = None
    task_consumer: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.hub is not None:
            self.hub.reset = partial(self._finish_answers_and_reset, self.hub.reset)

    def ensure_connected(self, conn: Any) -> Any:
        """Limit the pauses between attempts to connect.

        Celery's grow to 30 s, and no setting changes that.
        """
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=RECONNECT_SECONDS,
            interval_step=RECONNECT_SECONDS,
            interval_max=MAX_RECONNECT_SECONDS,
        )
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Pause before reconnecting to a Redis that accepts connections but refuses writes.

        Celery reconnects at once, in an endless tight loop. Such errors are retried since
        https://github.com/celery/celery/issues/7946
        """
        super().on_connection_error_before_connected(exc)
        time.sleep(RECONNECT_SECONDS)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Survive an AttributeError while the lost connection is closed.

        Celery first dismantles the connection, then closes it. If that finds messages still to be
        returned to the queue, kombu asks for the address of the dismantled transport, and the
        AttributeError ends the worker: https://github.com/celery/kombu/issues/582
        """
        connection: Any = self.connection
        connection.close = partial(_close, connection.close)
        with warnings.catch_warnings():
            # about the default of an option that app.py sets
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)

    def call_soon_ack(self, answer: Callable[..., None], *arguments: Any, **options: Any) -> Any:
        """Acknowledge a message, or reject it, unless its connection is gone by then.

        An acknowledgement that waits in the event loop survives the loss of the connection. If the
        message's channel was closed by then, kombu asks for the address of the dismantled
        transport, and the AttributeError ends the worker. No upstream issue is known.
        """
        return super().call_soon_ack(  # type: ignore[misc]  # newer than the stubs
            partial(self._answer_broker, answer), *arguments, **options
        )

    def _answer_broker(self, answer: Any, *arguments: Any, **options: Any) -> None:
        """Call a method of a kombu message.

        If that fails because its transport is dismantled, the message is delivered again, and found
        settled. If the connection is lost, it is left: kombu logs that and goes on, with a message
        that counts as being processed for ever. With one for each child, the worker asks for no
        further message, and does not notice the loss. No upstream issue is known.
        """
        message = answer.__self__
        try:
            answer(*arguments, **options)
        except AttributeError:
            if not _is_dismantled(message):
                raise
        if not message.acknowledged and not _is_dismantled(message):
            self.hub.call_soon(_reconnect)

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], None]:
        """Filter the messages of each new connection. Called right before it is consumed from."""
        errors = (*self.connection_errors, *self.channel_errors)
        MessageFilter(self.task_consumer.channel, count_dropped_message, errors)
        return super().create_task_handler(*arguments, **options)

    def register_with_event_loop(self, hub: Any) -> None:
        """Read finished answers before a time limit is enforced.

        Celery's main loop, back from waiting for Redis, runs timers before it reads the answers of
        children. The time limit of a task that finished meanwhile then kills its process, which is
        idle or working on the next task. No upstream issue is known.
        """
        super().register_with_event_loop(hub)
        hub.call_repeatedly(EVENT_SECONDS, self._flush_events)
        self._close_unused_connection()
        pool = self.pool._pool  # noqa: SLF001 - no public name
        for name in ("_on_soft_timeout", "_on_hard_timeout"):
            enforce = getattr(pool, name)
            if not isinstance(enforce, partial):  # this method runs again after each reconnect
                setattr(pool, name, partial(self._read_answers_and_enforce, enforce))

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stub is wrong
        """Leave the event to the next flush."""

    def stop(self) -> None:
        log.info("worker is stopping")
        self._flush_events()
        super().stop()

    def shutdown(self) -> None:
        self._flush_events()  # of tasks that ended during an orderly stop
        super().shutdown()

    def _flush_events(self) -> None:
        # events wait while the connection is lost
        with suppress(*self.connection_errors, *self.channel_errors):
            if self.event_dispatcher:
                self.event_dispatcher.flush()

    def _close_unused_connection(self) -> None:
        """Close one of the two connections of the channel for events.

        kombu opens it to test the server, and then uses it for receiving only.
        """
        self.event_dispatcher.producer.channel.client.connection_pool.disconnect()

    def _read_answers_and_enforce(
        self, enforce: Callable[..., None], job: int, *limits: Any
    ) -> None:
        pool = self.pool._pool  # noqa: SLF001
        try:
            for fd in list(pool._fileno_to_outq):  # noqa: SLF001
                while fd in self.hub.readers and _is_readable(fd, 0):
                    self._read(fd, pool.handle_result_event)
        finally:
            enforce(job, *limits)

    def _read(self, fd: int, begin: Callable[[int], None]) -> None:
        if half_read := self._half_read_answers().get(fd):
            _finish(fd, half_read)
        else:
            begin(fd)

    def _half_read_answers(self) -> dict[int, Any]:
        """Return the answers whose first bytes are read: Celery's generator, by file descriptor."""
        readers = self.hub.readers.items()
        return {fd: reader[0] for fd, reader in readers if reader and isgenerator(reader[0])}

    def _finish_answers_and_reset(self, reset: Callable[[], None]) -> None:
        """Read half-read answers to their end before the hub forgets all its readers.

        The hub is reset when the connection is lost, which drops what is read of an answer. Celery
        takes the rest for the start of the next answer and never hears from that child again.
        The reset came with https://github.com/celery/celery/pull/10151
        """
        for fd, answer in self._half_read_answers().items():
            # the finished task cannot be acknowledged: the connection is lost
            with suppress(*self.connection_errors, *self.channel_errors):
                _finish(fd, answer)
        reset()


def _is_dismantled(message: Any) -> bool:
    """Return whether the connection that delivered a message was given up."""
    transport = message.channel.connection
    return transport is None or transport.client is None


def _reconnect() -> None:
    """Make Celery's main loop connect again."""
    raise ConnectionError("a message could not be acknowledged")


def _close(close: Callable[[], None]) -> None:
    """Close a connection; its messages return to the queue after the visibility timeout."""
    with suppress(AttributeError):
        close()


def _finish(fd: int, answer: Any) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while _is_readable(fd, deadline - time.monotonic()):
        try:
            next(answer)
        except (StopIteration, OSError, EOFError):
            return


def _is_readable(fd: int, timeout: float) -> bool:
    return bool(select.select([fd], [], [], max(0, timeout))[0])
