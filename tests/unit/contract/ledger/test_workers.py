import pytest
from structlog.testing import capture_logs
from support.services import RedisServer

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.ledger.connection import Connection
from contract.ledger.workers import MAX_SKEW_SECONDS, WorkerRegistry, check_clock


class Skewed(WorkerRegistry):
    def __init__(self, skew: float | Exception) -> None:
        self._skew = skew

    def clock_skew(self) -> float:
        if isinstance(self._skew, Exception):
            raise self._skew
        return self._skew


@pytest.mark.parametrize("skew", [0, MAX_SKEW_SECONDS - 0.1, 0.1 - MAX_SKEW_SECONDS])
def test_a_small_clock_skew_passes(skew: float):
    with capture_logs() as lines:
        check_clock(Skewed(skew))
    assert lines == []


@pytest.mark.parametrize(("skew", "message"), [(5.6, "6 s ahead of"), (-3600, "3600 s behind")])
def test_a_large_clock_skew_is_refused_with_its_size(skew: float, message: str):
    with pytest.raises(
        PermanentError, match=f"This machine's clock is {message} Redis's"
    ) as caught:
        check_clock(Skewed(skew))
    assert caught.value.code is ErrorCode.CLOCK_SKEW


def test_the_clock_is_not_checked_while_redis_is_unavailable():
    with capture_logs() as lines:
        check_clock(Skewed(RetryableError(ErrorCode.REDIS_UNAVAILABLE, "Redis did not answer.")))
    assert [line["event"] for line in lines] == ["clock not checked"]


def test_refused_credentials_are_raised_at_once():
    refused = PermanentError(ErrorCode.REDIS_UNAVAILABLE, "Redis refused the credentials.")
    with pytest.raises(PermanentError):
        check_clock(Skewed(refused))


def test_the_skew_is_measured_against_redis(redis_server: RedisServer):
    assert abs(WorkerRegistry(Connection(redis_server.url)).clock_skew()) < 1
