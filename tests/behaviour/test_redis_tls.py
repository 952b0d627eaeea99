"""TLS to Redis: verified by ledger and broker alike, and a sentence for each way it can fail."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from support.faults import TcpProxy
from support.services import RedisServer
from support.tls_proxy import tls_redis

from contract.errors import ErrorCode, RetryableError
from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings
from producer.dispatch import publisher
from worker import app as worker_app


@dataclass
class TlsRedis:
    port: int
    ca: Path

    def select(self, monkeypatch: pytest.MonkeyPatch, *, trusted: bool, host="127.0.0.1") -> None:
        monkeypatch.setenv("CUTOUT_REDIS_URL", f"rediss://{host}:{self.port}/0")
        if trusted:
            monkeypatch.setenv("CUTOUT_REDIS_CA", str(self.ca))


@pytest.fixture
def redis_with_tls(redis_server: RedisServer, tmp_path: Path) -> Iterator[TlsRedis]:
    socket = redis_server.url.removeprefix("unix://")
    with tls_redis(socket, tmp_path / "tls", "127.0.0.1") as (port, ca):
        yield TlsRedis(port, ca)


def open_ledger() -> RedisLedger:
    return RedisLedger(settings().require_redis_address(), retries=0)


def brokers():
    """Yield the broker connections of producer (and Flower) and worker."""
    yield publisher.app().connection_for_write()
    yield worker_app.create_app(1, quarantine=False).connection_for_read()


@pytest.mark.slow
def test_a_private_ca_is_trusted_by_ledger_and_broker(redis_with_tls: TlsRedis, monkeypatch):
    redis_with_tls.select(monkeypatch, trusted=True)
    open_ledger().ping()
    for broker in brokers():
        with broker as connection:
            connection.SimpleQueue("q").put("hello")
            assert connection.SimpleQueue("q").get(timeout=5).payload == "hello"


@pytest.mark.slow
def test_an_untrusted_certificate_is_refused_by_ledger_and_broker(
    redis_with_tls: TlsRedis, monkeypatch
):
    redis_with_tls.select(monkeypatch, trusted=False)
    with pytest.raises(RetryableError) as caught:
        open_ledger().ping()
    assert caught.value.code is ErrorCode.REDIS_TLS
    assert (
        caught.value.message == "The certificate of Redis is not trusted (self-signed certificate)."
    )
    for broker in brokers():
        with broker as connection, pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAIL"):
            connection.ensure_connection(max_retries=1)


@pytest.mark.slow
def test_a_certificate_for_another_host_is_refused_by_ledger_and_broker(
    redis_with_tls: TlsRedis, monkeypatch
):
    redis_with_tls.select(monkeypatch, trusted=True, host="localhost")
    with pytest.raises(RetryableError) as caught:
        open_ledger().ping()
    assert caught.value.code is ErrorCode.REDIS_TLS
    assert "another host" in caught.value.message
    for broker in brokers():
        with broker as connection, pytest.raises(OperationalError, match="mismatch"):
            connection.ensure_connection(max_retries=1)


def test_an_error_that_was_being_handled_is_not_the_cause(redis_with_tls: TlsRedis, monkeypatch):
    """As when storing a result fails while the worker handles a certificate error of a URL."""
    redis_with_tls.select(monkeypatch, trusted=False)
    ledger = RedisLedger("redis://127.0.0.1:1", retries=0)
    try:
        open_ledger().connection.client.ping()
    except RedisError:
        with pytest.raises(RetryableError) as caught:
            ledger.ping()
    assert caught.value.code is ErrorCode.REDIS_UNAVAILABLE


def failed(*command: str) -> str:
    """Run a verb that must fail; return its error, the last line."""
    answer = subprocess.run(
        [sys.executable, "-m", *command], check=False, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 1, answer.stderr
    return answer.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("command", [("producer", "status"), ("worker", "worker")])
def test_a_server_without_tls_is_named(
    redis_server: RedisServer, command: tuple[str, ...], monkeypatch
):
    with TcpProxy(redis_server.url.removeprefix("unix://")) as proxy:
        monkeypatch.setenv("CUTOUT_REDIS_URL", f"rediss://127.0.0.1:{proxy.port}")
        error = failed(*command)
    assert error.startswith("cutout: redis_tls: The server at 127.0.0.1:")
    assert "uses no TLS, so CUTOUT_REDIS_URL must begin with redis://" in error


@pytest.mark.slow
@pytest.mark.parametrize("command", [("producer", "status"), ("worker", "worker")])
def test_a_server_with_tls_is_named(
    redis_with_tls: TlsRedis, command: tuple[str, ...], monkeypatch
):
    monkeypatch.setenv("CUTOUT_REDIS_URL", f"redis://127.0.0.1:{redis_with_tls.port}")
    error = failed(*command)
    assert error.startswith("cutout: redis_tls: The server at 127.0.0.1:")
    assert "uses TLS, so CUTOUT_REDIS_URL must begin with rediss://" in error
