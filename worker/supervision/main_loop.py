"""Celery's main loop: heartbeats, wherever it may spend its time, and the stop of its consuming."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kombu
from celery import Celery

from worker.celery_hooks import consumer
from worker.celery_hooks.request import result_listeners
from worker.supervision.heartbeat import HeartbeatFile
from worker.supervision.outlier import OutlierCheck


class Consumer(consumer.Consumer):
    """Writes heartbeats from the event loop, and takes no images while out of rotation."""

    heartbeat_file: HeartbeatFile
    outlier_check: OutlierCheck
    task_consumer: Any
    _consuming = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        result_listeners[:] = [self.note]

    def on_ready(self) -> None:
        super().on_ready()
        self._consuming = True  # Celery has just begun to, also after each reconnect
        self._follow()

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        # Celery cancels this timer when the connection is lost, and calls this method again
        hub.call_repeatedly(1, self._beat)
        hub.call_repeatedly(1, self._follow)
        self._beat()

    def note(self, batch: str, result: str) -> None:
        """Note the result of an attempt. A listener of `CutoutRequest`."""
        self.outlier_check.record(batch, result)
        self._follow()

    def _follow(self) -> None:
        """Start or stop consuming, as the standing of the worker says.

        Messages already received are processed; one that arrives meanwhile returns to the queue.
        """
        takes, tasks = self.outlier_check.takes_images, self.task_consumer
        if tasks is None or takes is self._consuming or self.blueprint.human_state() != "running":
            return
        self._consuming = takes
        # if the connection is lost, `on_ready` follows after the reconnect
        with suppress(*self.connection_errors, *self.channel_errors):
            (tasks.consume if takes else tasks.cancel)()

    def _beat(self) -> None:
        # timers still run while an orderly stop waits for images; that does not count as ready
        self.heartbeat_file.beat(connected=self.blueprint.human_state() == "running")


class Broker(kombu.Connection):
    """Writes heartbeats while it waits for Redis, when no timer runs.

    Two connections wait, each for as long as Redis is away: the consumer's, and the one for events
    if an event was being sent when Redis went away.
    """

    heartbeat_file: HeartbeatFile

    def _ensure_connection(
        self, *arguments: Any, callback: Callable[[], None] | None = None, **options: Any
    ) -> Any:
        def every_second() -> None:
            self.heartbeat_file.beat(connected=False)
            if callback:
                callback()

        if not self.connected:
            self.heartbeat_file.beat(connected=False)
        options["callback"] = every_second
        return super()._ensure_connection(*arguments, **options)


def supervise(app: Celery, file: HeartbeatFile, outlier_check: OutlierCheck) -> None:
    """Make the main loop of the app's worker write heartbeats, and obey the outlier check."""
    parts = {"heartbeat_file": file, "outlier_check": outlier_check}
    app.conf.worker_consumer = type("Consumer", (Consumer,), parts)
    app.amqp.Connection = type("Broker", (Broker,), {"heartbeat_file": file})
