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
def test_a_clock_nearly_right_is_right(skew: float):
    with capture_logs() as lines:
        check_clock(Skewed(skew))
    assert lines == []


@pytest.mark.parametrize(("skew", "said"), [(5.6, "6 s ahead of"), (-3600, "3600 s behind")])
def test_another_is_refused_by_how_much_it_is_wrong(skew: float, said: str):
    with pytest.raises(PermanentError, match=f"This machine's clock is {said} Redis's") as caught:
        check_clock(Skewed(skew))
    assert caught.value.code is ErrorCode.CLOCK_SKEW


def test_without_redis_there_is_nothing_to_compare():
    with capture_logs() as lines:
        check_clock(Skewed(RetryableError(ErrorCode.REDIS_UNAVAILABLE, "Redis did not answer.")))
    assert [line["event"] for line in lines] == ["clock not checked"]


def test_refused_credentials_are_told_at_once():
    refused = PermanentError(ErrorCode.REDIS_UNAVAILABLE, "Redis refused the credentials.")
    with pytest.raises(PermanentError):
        check_clock(Skewed(refused))


def test_the_clock_of_redis_is_read(redis_server: RedisServer):
    assert abs(WorkerRegistry(Connection(redis_server.url)).clock_skew()) < 1
