"""What keeps a process from starting beside a fleet that it would harm, asked of a real Redis."""

import subprocess
import sys

import pytest
from support.services import RedisServer

from contract.ledger.redis_ledger import RedisLedger

SERVICES = [("producer", "dispatch"), ("producer", "serve"), ("producer", "flower"),
    ("worker", "worker")]  # fmt: skip


def refused(*command: str) -> str:
    """Run a service that must not start; return its error, the last line."""
    answer = subprocess.run(
        [sys.executable, "-m", *command], check=False, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 1, answer.stderr
    return answer.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("command", SERVICES)
def test_a_service_with_other_settings_than_the_fleet_does_not_start(
    ledger: RedisLedger, redis_server: RedisServer, command: tuple[str, str], monkeypatch
) -> None:
    ledger.workers.share_settings({"time_limit": "60", "visibility_timeout": "300"})
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setenv("CUTOUT_TIME_LIMIT", "30")
    error = refused(*command)
    assert error.startswith("cutout: settings_differ: CUTOUT_TIME_LIMIT is 30 here, but 60 in")


@pytest.mark.slow
@pytest.mark.parametrize("command", SERVICES)
def test_a_service_does_not_start_with_a_redis_that_evicts(
    ledger: RedisLedger, redis_server: RedisServer, command: tuple[str, str], monkeypatch
) -> None:
    ledger.connection.client.config_set("maxmemory-policy", "allkeys-lru")
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    error = refused(*command)
    assert error.startswith("cutout: redis_eviction: The maxmemory-policy of Redis is allkeys-lru")
