"""Which events reach Flower, and when."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from celery import Celery
from kombu.asynchronous import Hub

from worker.celery_hooks.consumer import EVENT_SECONDS, Consumer
from worker.celery_hooks.events import MAX_IMAGES_PER_SECOND, EventShare, limit_events

LIFE = ("task-received", "task-started", "task-succeeded")


def included(share: EventShare, count: int = 10_000) -> int:
    return sum(share.includes(f"b-20260101-000000-aaaaaa.{line}") for line in range(count))


def test_all_images_are_shown_while_flower_can_count_them() -> None:
    share = EventShare()
    share.adapt(MAX_IMAGES_PER_SECOND, workers=1)
    assert included(share) == 10_000


@pytest.mark.parametrize(("rate", "workers"), [(3500, 1), (10, 1000), (40_000, 7)])
def test_a_busy_fleet_shows_at_most_what_flower_can_count(rate: float, workers: int) -> None:
    share = EventShare()
    share.adapt(rate, workers)
    shown = included(share) / 10_000 * rate * workers
    assert MAX_IMAGES_PER_SECOND / 4 < shown <= 1.05 * MAX_IMAGES_PER_SECOND


def test_the_share_is_steady_and_returns_to_all_images() -> None:
    share = EventShare()
    share.adapt(1900, 1)
    assert share.share == 0.5
    share.adapt(950, 1)
    assert share.share == 0.5
    share.adapt(700, 1)
    assert share.share == 1
    share.adapt(0, 0)
    assert share.share == 1


def test_an_image_sends_all_its_events_or_none() -> None:
    app, share = Celery("events", broker="memory://", set_as_current=False), EventShare()
    limit_events(app, share)
    share.share = 0.5
    events = app.events.Dispatcher(app.connection(), buffer_group=["task"], buffer_limit=1000)
    for line in range(100):
        for kind in LIFE:
            events.send(kind, uuid=f"b-20260101-000000-aaaaaa.{line}")
    sent = [(event["uuid"], event["type"]) for event in events._group_buffer["task"]]
    images = {uuid for uuid, _ in sent}
    assert 30 < len(images) < 70
    assert len(sent) == len(LIFE) * len(images)
    app.close()


@pytest.fixture
def consumer() -> Consumer:
    """A consumer with an event loop, no connection, and a count of its flushes."""
    consumer = Consumer.__new__(Consumer)
    consumer.hub, consumer.connection_errors, consumer.channel_errors = Hub(), (OSError,), ()
    pool = SimpleNamespace(_on_soft_timeout=None, _on_hard_timeout=None)
    consumer.pool = SimpleNamespace(_pool=pool)
    consumer.blueprint = SimpleNamespace(
        send_all=lambda *_, **__: None, stop=lambda _: None, shutdown=lambda _: None
    )
    consumer.perform_pending_operations = lambda: None
    consumer._close_unused_connection = lambda: None
    consumer.flushes = []
    consumer.event_dispatcher = SimpleNamespace(flush=lambda: consumer.flushes.append(1))
    return consumer


def test_events_are_sent_in_intervals_and_when_the_worker_stops(consumer: Consumer) -> None:
    timers: list[tuple[float, Callable[[], None]]] = []
    consumer.hub.call_repeatedly = lambda seconds, call: timers.append((seconds, call))
    consumer.register_with_event_loop(consumer.hub)
    [(seconds, flush)] = timers
    assert seconds == EVENT_SECONDS
    consumer.on_send_event_buffered()
    assert not consumer.hub._ready
    flush()
    assert len(consumer.flushes) == 1
    consumer.stop()
    assert len(consumer.flushes) == 2
    consumer.shutdown()
    assert len(consumer.flushes) == 3


def test_events_wait_while_the_connection_is_lost(consumer: Consumer) -> None:
    def flush() -> None:
        raise ConnectionError

    consumer.event_dispatcher.flush = flush
    consumer._flush_events()
    consumer.event_dispatcher = None
    consumer._flush_events()
    assert not consumer.flushes
