"""What keeps a process from starting beside a fleet that it would harm, against a real Redis."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.services import RedisServer

from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch.dispatcher import Dispatcher
from worker.supervision.heartbeat import HeartbeatFile
from worker.supervision.outlier import OutlierCheck
from worker.supervision.watchdog import Watchdog

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


FLEET = {"time_limit": "60", "visibility_timeout": "120"}


@pytest.fixture
def fleet_settings(redis_server: RedisServer, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    for name, value in FLEET.items():
        monkeypatch.setenv(f"CUTOUT_{name.upper()}", value)


@pytest.mark.usefixtures("fleet_settings")
def test_a_dispatcher_that_runs_keeps_its_settings_in_redis(ledger: RedisLedger) -> None:
    turns = iter([False, True])
    Dispatcher(ledger, CallbackSchedule(ledger.connection), settings()).run(lambda: next(turns))
    assert ledger.workers.share_settings({"time_limit": "30"}) == FLEET


@pytest.mark.usefixtures("fleet_settings")
def test_a_worker_that_runs_keeps_its_settings_and_its_standing_in_redis(
    ledger: RedisLedger, tmp_path: Path
) -> None:
    queue, check = "bulk.u2netp.p3", OutlierCheck("w")
    check.reason = "It fails where others succeed."
    file = HeartbeatFile(tmp_path, queue, 2, check)
    Watchdog(file, check, settings(), "w", queue, 2)._register()
    [registered] = ledger.workers.list()
    assert (registered.name, registered.out_of_rotation) == ("w", check.reason)
    assert ledger.workers.share_settings({"time_limit": "30"}) == FLEET
