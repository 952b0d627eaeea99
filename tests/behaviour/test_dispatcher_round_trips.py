"""An idle dispatcher costs Redis little, however many batches are open."""

from pathlib import Path

import pytest
from redis.connection import AbstractConnection

from contract import names
from contract.ledger import Ledger
from contract.ledger.records import Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import Recipe
from contract.settings import settings
from producer.batches.register import register
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch.dispatcher import Dispatcher

FOR_ALL_BATCHES = 3
"""Round trips of a tick that no batch causes: the open batches, the workers' names, the workers."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Everything sent to Redis in this process; a pipeline is sent, and answered, as one."""
    packets: list[object] = []
    send = AbstractConnection.send_packed_command

    def counting(self: AbstractConnection, command: object, *arguments: object, **options: object):
        packets.append(command)
        return send(self, command, *arguments, **options)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counting)
    return packets


@pytest.fixture
def dispatcher(ledger: RedisLedger, redis_server, monkeypatch):
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()
    running = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    yield running
    running.stop()


def open_batches(ledger: Ledger, folder: Path, count: int) -> None:
    for number in range(count):
        source = folder / str(number)
        source.mkdir()
        for name in ("a.jpg", "b.jpg"):
            (source / name).touch()
        register(ledger, str(source), f"{source}-out", Recipe(model="u2netp"))


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 7])
def test_an_idle_tick_makes_one_round_trip_per_open_batch_and_three_more(
    ledger: RedisLedger, dispatcher: Dispatcher, sent: list, tmp_path: Path, count: int
) -> None:
    ledger.workers.register(Worker("worker@here", names.bulk_queue("u2netp"), 1, 0.0))
    open_batches(ledger, tmp_path, count)
    while dispatcher.tick():
        pass  # publish all lines
    dispatcher.tick()
    sent.clear()

    dispatcher.tick()

    assert len(ledger.batches.open_ids()) == count
    assert 0 < len(sent) - 1 <= count + FOR_ALL_BATCHES  # the last one was sent by this test
