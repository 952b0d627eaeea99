import pytest
from structlog.testing import capture_logs

from contract.errors import CutoutError, ErrorCode, RetryableError
from contract.ledger.memory import MemoryLedger
from contract.ledger.shared_settings import SharedSettings, check_shared
from contract.settings import Settings

FLEET = Settings(time_limit=60, visibility_timeout=120)


class Away:
    def share_settings(self, _: object) -> dict[str, str]:
        raise RetryableError(ErrorCode.REDIS_UNAVAILABLE, "Redis did not answer.")


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"time_limit": 30}, "CUTOUT_TIME_LIMIT is 30 here, but 60 in the processes"),
        ({"visibility_timeout": 90.5}, "CUTOUT_VISIBILITY_TIMEOUT is 90.5 here, but 120 in the"),
    ],
)
def test_a_process_with_other_limits_than_the_fleet_does_not_start(own, sentence) -> None:
    workers = MemoryLedger().workers
    check_shared(workers, FLEET)
    check_shared(workers, FLEET)
    with pytest.raises(CutoutError, match=sentence) as raised:
        check_shared(workers, Settings(**FLEET.model_dump() | own))
    assert raised.value.code is ErrorCode.SETTINGS_DIFFER


def test_other_settings_may_differ() -> None:
    workers = MemoryLedger().workers
    check_shared(workers, FLEET)
    own = Settings(**FLEET.model_dump() | {"retry_budget": 9})
    check_shared(workers, own)
    with pytest.raises(CutoutError, match="CUTOUT_TIME_LIMIT"):
        check_shared(workers, Settings(**own.model_dump() | {"time_limit": 30}))


def test_a_process_may_start_before_redis() -> None:
    with capture_logs() as logs:
        check_shared(Away(), FLEET)
    assert [entry["event"] for entry in logs] == ["shared settings not checked"]


def test_processes_that_run_renew_their_settings(monkeypatch) -> None:
    clock = [1000.0]
    workers = MemoryLedger(clock=lambda: clock[0]).workers
    monkeypatch.setattr("contract.ledger.shared_settings.time.monotonic", lambda: clock[0])
    running = SharedSettings(workers, FLEET)
    other = Settings(**FLEET.model_dump() | {"time_limit": 30})
    for _ in range(10):
        running.renew()
        clock[0] += 11
    with pytest.raises(CutoutError):
        check_shared(workers, other)
    clock[0] += 31  # all have stopped
    check_shared(workers, other)
    with capture_logs() as logs:
        for _ in range(3):
            running.renew()  # one that was suspended meanwhile
            clock[0] += 11
            check_shared(workers, other)
    assert [entry["event"] for entry in logs] == ["shared settings differ"]
