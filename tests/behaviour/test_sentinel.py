"""Redis found through Sentinels, by ledger and broker alike."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.sentinels import HOST, MASTER, PASSWORD, Sentinels

from contract import names
from contract.errors import CutoutError, PermanentError, RetryableError
from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings
from producer.dispatch import publisher
from worker import app as worker_app

SENTINEL_PASSWORD = "sentinel-secret"


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    running = Sentinels(tmp_path_factory.mktemp("sentinels"), SENTINEL_PASSWORD)
    running.start(replicas=0, sentinels=1)
    yield running
    running.remove()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOUT_SENTINEL_PASSWORD", SENTINEL_PASSWORD)


def open_ledger(monkeypatch: pytest.MonkeyPatch, url: str) -> RedisLedger:
    monkeypatch.setenv("CUTOUT_REDIS_URL", url)
    return RedisLedger(settings().require_redis_address(), retries=0)


def error_of(ledger: RedisLedger) -> CutoutError:
    with pytest.raises(CutoutError) as caught:
        ledger.ping()
    for secret in (PASSWORD, SENTINEL_PASSWORD, "hunter2"):
        assert secret not in str(caught.value)
    return caught.value


def with_dead_sentinel(sentinels: Sentinels) -> str:
    return sentinels.url.replace("@", f"@{HOST}:1,")


def test_ledger_and_broker_find_the_same_database(sentinels: Sentinels, monkeypatch):
    url = with_dead_sentinel(sentinels).removesuffix("/0") + "/3"
    ledger = open_ledger(monkeypatch, url)
    ledger.acquire_lease("token", 60)
    worker = worker_app.create_app(1, quarantine=False)
    for broker in (publisher.app().connection_for_write(), worker.connection_for_read()):
        with broker as connection:
            connection.SimpleQueue("q").put("hello")
            assert ledger.workers.queue_length("q") == 1
            message = connection.SimpleQueue("q").get(timeout=5)
            message.ack()
            assert message.payload == "hello"
            assert connection.default_channel.client.get(names.DISPATCHER_LEASE) == b"token"
    ledger.release_lease("token")


def test_the_ledger_keeps_no_connection_to_a_sentinel(sentinels: Sentinels, monkeypatch):
    [port] = sentinels.sentinels
    with sentinels.client(port, SENTINEL_PASSWORD) as sentinel:
        before = len(sentinel.client_list())
        ledger = open_ledger(monkeypatch, sentinels.url)
        ledger.ping()
        assert len(sentinel.client_list()) == before


@pytest.mark.slow
def test_threads_may_look_for_redis_at_once(sentinels: Sentinels, monkeypatch):
    """As the dispatcher and its callbacks do, which share a ledger, after a failover."""
    ledger = open_ledger(monkeypatch, sentinels.url)
    pool: Any = ledger.connection.client.connection_pool
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: pool.get_master_address(), range(200)))
    assert set(found) == {(HOST, sentinels.master)}


def test_an_unknown_master_is_named_as_the_cause(sentinels: Sentinels, monkeypatch):
    error = error_of(open_ledger(monkeypatch, sentinels.url.replace(f"/{MASTER}", "/other")))
    assert isinstance(error, RetryableError)
    assert error.message.startswith("No Sentinel knows a master of the name")


def test_sentinels_that_do_not_answer_are_named_as_the_cause(monkeypatch):
    error = error_of(open_ledger(monkeypatch, f"sentinel://:hunter2@{HOST}:1,{HOST}:2/{MASTER}"))
    assert isinstance(error, RetryableError)
    assert error.message == "No Sentinel answered (ConnectionError)."


@pytest.mark.parametrize("wrong", ["hunter2", ""])
def test_a_wrong_password_of_a_sentinel_is_told_from_that_of_redis(
    sentinels: Sentinels, wrong: str, monkeypatch
):
    error = error_of(open_ledger(monkeypatch, sentinels.url.replace(PASSWORD, "hunter2")))
    assert isinstance(error, PermanentError)
    assert error.message == "Redis refused the credentials."
    monkeypatch.setenv("CUTOUT_SENTINEL_PASSWORD", wrong)
    settings.cache_clear()
    error = error_of(open_ledger(monkeypatch, sentinels.url))
    assert isinstance(error, PermanentError)
    assert error.message == "A Sentinel refused the credentials."
