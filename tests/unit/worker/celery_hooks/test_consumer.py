"""The consumer when its Redis connection is lost: what becomes of its children's answers."""

import logging
import os
import pickle
import signal
import struct
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.concurrency.asynpool import ResultHandler
from kombu import Connection, Queue
from kombu import Consumer as Receiver
from kombu.asynchronous import Hub
from kombu.message import Message

from worker.celery_hooks.consumer import Consumer

ANSWER = pickle.dumps("x" * 30_000)
WHOLE = struct.pack("!i", len(ANSWER)) + ANSWER


@pytest.fixture
def consumer() -> Consumer:
    """A consumer with an event loop and no connection."""
    consumer = Consumer.__new__(Consumer)
    consumer.hub, consumer.connection_errors, consumer.channel_errors = Hub(), (OSError,), ()
    return consumer


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def half_read(hub: Hub, pipe: tuple[int, int], callback) -> None:
    """Let Celery read the first part of an answer that is written in two parts."""
    reader, writer = pipe
    handler = ResultHandler.__new__(ResultHandler)
    handler.handle_event = lambda fd: None
    os.write(writer, WHOLE[:4])
    answer = handler._recv_message(hub.add_reader, reader, callback)
    next(answer)
    hub.add_reader(reader, answer)


def test_a_half_read_answer_is_read_to_its_end(consumer, pipe) -> None:
    heard: list[object] = []
    half_read(consumer.hub, pipe, heard.append)
    threading.Timer(0.1, os.write, [pipe[1], WHOLE[4:]]).start()

    consumer._finish_answers_and_reset(consumer.hub.reset)

    assert heard == ["x" * 30_000]
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)
    assert not consumer.hub.readers


def test_an_answer_that_cannot_be_acknowledged_does_not_stop_the_reset(consumer, pipe) -> None:
    def acknowledge(_: object) -> None:
        raise ConnectionError

    half_read(consumer.hub, pipe, acknowledge)
    os.write(pipe[1], WHOLE[4:])
    consumer._finish_answers_and_reset(consumer.hub.reset)
    assert not consumer.hub.readers


def test_answers_are_read_before_a_time_limit_is_enforced(consumer, pipe) -> None:
    reader, writer = pipe
    heard: list[str] = []

    def answer(fd: int) -> None:
        heard.append(os.read(fd, 1).decode())

    consumer.hub.add_reader(reader, answer, reader)
    pool = SimpleNamespace(_fileno_to_outq={reader: None}, handle_result_event=answer)
    consumer.pool = SimpleNamespace(_pool=pool)
    os.write(writer, b"ab")

    consumer._read_answers_and_enforce(lambda job, *_: heard.append(f"limit of {job}"), 7, 1.0)

    assert heard == ["a", "b", "limit of 7"]


def test_a_connection_is_lost_while_a_message_is_held(consumer, redis_server) -> None:
    """Closing the first channel fails, so the second is left open."""
    consumer.app = Celery(set_as_current=False)
    consumer.app.conf.worker_enable_prefetch_count_reduction = False  # needs a whole worker
    connection = Connection(redis_server.url.replace("unix", "redis+socket"))
    consumer.connection = connection
    held: list[Message] = []
    channels = connection.default_channel, connection.channel()
    for number, channel in enumerate(channels):
        Receiver(channel, [Queue(f"queue {number}")], on_message=held.append).consume()
    connection.Producer().publish({}, routing_key="queue 0")
    connection.drain_events(timeout=10)
    assert len(held) == 1
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.1)  # both channels wait for more
    redis_server.stop(signal.SIGKILL)

    consumer.on_connection_error_after_connected(ConnectionError())

    assert consumer.connection is None
    # its task ended at the moment of the loss: the acknowledgement waits in the event loop
    consumer.call_soon_ack(held[0].ack_log_error, logging.getLogger(), (OSError,))
    [acknowledge] = consumer.hub._pop_ready()
    acknowledge()
    assert not held[0].acknowledged
    redis_server.start()
    with connection.clone() as again:
        assert again.default_channel.client.hlen("unacked") == 1


def test_a_message_that_cannot_be_acknowledged_makes_the_worker_reconnect(
    consumer, redis_server
) -> None:
    """Else it counts as being processed for ever; with one per child, no more are asked for."""
    connection = Connection(redis_server.url.replace("unix", "redis+socket"))
    held: list[Message] = []
    Receiver(connection.default_channel, [Queue("queue")], on_message=held.append).consume()
    connection.Producer().publish({}, routing_key="queue")
    connection.drain_events(timeout=10)
    redis_server.stop(signal.SIGKILL)

    answer = held[0].ack_log_error, logging.getLogger(), connection.connection_errors
    consumer.call_soon_ack(*answer)
    [acknowledge] = consumer.hub._pop_ready()
    acknowledge()
    [reconnect] = consumer.hub._pop_ready()
    with pytest.raises(connection.connection_errors):
        reconnect()

    redis_server.start()
    consumer.call_soon_ack(*answer)
    [acknowledge] = consumer.hub._pop_ready()
    acknowledge()
    assert held[0].acknowledged
    assert not consumer.hub._pop_ready()
