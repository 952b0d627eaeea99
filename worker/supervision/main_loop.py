"""Heartbeats from Celery's main loop, wherever it may spend its time."""

from collections.abc import Callable
from typing import Any

import kombu
from celery import Celery

from worker.celery_hooks import consumer
from worker.supervision.heartbeat import HeartbeatFile


class Consumer(consumer.Consumer):
    """Writes heartbeats from the event loop."""

    heartbeat_file: HeartbeatFile

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        # Celery cancels this timer when the connection is lost, and calls this method again
        hub.call_repeatedly(1, self._beat)
        self._beat()

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


def write_heartbeats(app: Celery, file: HeartbeatFile) -> None:
    """Make the main loop of the app's worker write heartbeats to `file`."""
    app.conf.worker_consumer = type("Consumer", (Consumer,), {"heartbeat_file": file})
    app.amqp.Connection = type("Broker", (Broker,), {"heartbeat_file": file})
