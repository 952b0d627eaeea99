import pytest

from contract.errors import REDIS_CODES, ErrorCode, RetryableError
from contract.ledger.connection import Connection
from contract.ledger.records import RESULT_CRASH
from contract.outcome import AttemptResult
from worker.supervision.comparison import Comparison
from worker.supervision.outlier import (
    COMPARE_SECONDS,
    MARGIN_SECONDS,
    MIN_OTHERS,
    OUT_SECONDS,
    RETURN_FAILURES,
    SUSPECT_FAILURES,
    Others,
    OutlierCheck,
    Standing,
)

ME, ONE, TWO = "me@a", "one@b", "two@c"
BATCH = "b-20260101-000000-aaaaaa"
DENIED, BROKEN = ErrorCode.ACCESS_DENIED, ErrorCode.CORRUPT_IMAGE
BEGIN = 1000


class Scene:
    """A worker whose latest attempts have failed, and what the others do."""

    def __init__(self) -> None:
        self.check = OutlierCheck(ME)
        self.results: list[AttemptResult] = []
        self.running = 2
        self.open = True

    def fail(self, times: int, code: str = DENIED) -> None:
        for _ in range(times):
            self.check.record(BATCH, code)
            self.add(ME, code, BEGIN)

    def add(self, worker: str, code: str, time: int, times: int = 1) -> None:
        self.results[:0] = [AttemptResult(code, worker, time)] * times

    def review(self, now: float) -> Standing:
        self.check.review(Others(now, self.running, self.open, self.results))
        return self.check.standing


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.fail(SUSPECT_FAILURES)
    assert scene.check.standing is Standing.COMPARING
    assert not scene.check.takes_images
    return scene


FRESH = BEGIN + MARGIN_SECONDS
LATER = BEGIN + COMPARE_SECONDS + 1


def test_a_worker_that_fails_where_others_succeed_leaves_and_says_why(scene: Scene) -> None:
    assert scene.review(BEGIN) is Standing.COMPARING
    scene.add(ONE, "ok", FRESH, MIN_OTHERS)
    assert scene.review(FRESH) is Standing.OUT
    assert not scene.check.takes_images
    assert scene.check.reason == (
        "Its last 8 attempts failed with access_denied, where other workers succeed. Allow the"
        " worker to read the source and to write the destination."
    )


def test_it_tries_again_after_a_while_and_leaves_sooner_if_it_still_fails(scene: Scene) -> None:
    scene.review(BEGIN)
    scene.add(ONE, "ok", FRESH, MIN_OTHERS)
    scene.review(FRESH)
    scene.fail(5)  # images that it had received before
    assert scene.review(FRESH + OUT_SECONDS - 1) is Standing.OUT
    assert scene.review(FRESH + OUT_SECONDS) is Standing.IN_ROTATION
    assert scene.check.reason == ""
    scene.fail(RETURN_FAILURES - 1)
    assert scene.check.takes_images
    scene.fail(1)
    assert scene.check.standing is Standing.COMPARING


def test_a_success_after_its_return_makes_it_as_good_as_any_other(scene: Scene) -> None:
    scene.review(BEGIN)
    scene.add(ONE, "ok", FRESH, MIN_OTHERS)
    scene.review(FRESH)
    scene.review(FRESH + OUT_SECONDS)
    scene.check.record(BATCH, "ok")
    scene.fail(SUSPECT_FAILURES - 1)
    assert scene.check.takes_images


def test_it_returns_at_once_if_no_other_worker_is_left(scene: Scene) -> None:
    scene.review(BEGIN)
    scene.add(ONE, "ok", FRESH, MIN_OTHERS)
    assert scene.review(FRESH) is Standing.OUT
    scene.running = 0
    assert scene.review(FRESH + 1) is Standing.IN_ROTATION


def alone(scene: Scene) -> None:
    scene.running = 0


def paused(scene: Scene) -> None:
    scene.open = False


def others_fail(scene: Scene) -> None:
    scene.add(ONE, "ok", BEGIN - 1, 9)
    scene.add(ONE, DENIED, BEGIN)
    scene.add(TWO, DENIED, BEGIN)


@pytest.mark.parametrize("arrange", [alone, paused, others_fail])
def test_a_fault_of_the_batch_is_left_to_the_breaker_at_once(scene: Scene, arrange) -> None:
    arrange(scene)
    assert scene.review(BEGIN) is Standing.IN_ROTATION
    scene.fail(SUSPECT_FAILURES - 1)
    assert scene.check.takes_images


def test_results_of_before_the_fault_are_no_success(scene: Scene) -> None:
    """Images stored just before the storage fails for all are settled a moment later."""
    scene.add(ONE, "ok", FRESH - 1, 20)
    assert scene.review(BEGIN) is Standing.COMPARING
    assert scene.review(FRESH) is Standing.COMPARING
    scene.add(ONE, DENIED, FRESH)
    assert scene.review(FRESH + 1) is Standing.IN_ROTATION


def test_others_that_fail_often_too_are_no_measure(scene: Scene) -> None:
    scene.review(BEGIN)
    scene.add(ONE, DENIED, FRESH, 3)
    scene.add(TWO, "ok", FRESH, 7)
    assert scene.review(FRESH) is Standing.IN_ROTATION


@pytest.mark.parametrize(
    ("results", "standing"), [(0, Standing.IN_ROTATION), (1, Standing.OUT), (2, Standing.OUT)]
)
def test_slow_others_are_waited_for(scene: Scene, results: int, standing: Standing) -> None:
    scene.review(BEGIN)
    scene.add(ONE, "ok", FRESH, results)
    assert scene.review(LATER - 2) is Standing.COMPARING
    assert scene.review(LATER) is standing


def test_an_own_success_ends_the_comparison(scene: Scene) -> None:
    scene.check.record(BATCH, "ok")  # of another child
    assert scene.check.takes_images


@pytest.mark.parametrize("result", ["ok", BROKEN])
def test_failures_in_a_row_are_broken_by_any_image_that_went_through(result: str) -> None:
    scene = Scene()
    for _ in range(5):
        scene.fail(SUSPECT_FAILURES - 1)
        scene.check.record(BATCH, result)
    assert scene.check.takes_images


@pytest.mark.parametrize("code", [RESULT_CRASH, "exhausted", "object_missing", "out_of_memory"])
def test_all_that_may_be_the_machines_fault_counts(code: str) -> None:
    scene = Scene()
    scene.fail(SUSPECT_FAILURES, code)
    scene.review(BEGIN)
    scene.add(ONE, "ok", FRESH, MIN_OTHERS)
    assert scene.review(FRESH) is Standing.OUT
    assert code in scene.check.reason


def test_redis_and_cutouts_do_not_count() -> None:
    scene = Scene()
    scene.fail(2 * SUSPECT_FAILURES, ErrorCode.REDIS_UNAVAILABLE)
    for _ in range(2 * SUSPECT_FAILURES):
        scene.check.record("c-20260101-000000-aaaaaa", DENIED)
    assert scene.check.takes_images


@pytest.mark.parametrize("code", sorted(REDIS_CODES))
def test_errors_of_the_connection_to_redis_are_no_fault_of_the_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, code: ErrorCode
) -> None:
    """Nor of the comparison with others, which waits for Redis."""

    def away(_: Comparison) -> None:
        raise RetryableError(code, "Not now.")

    monkeypatch.setattr(Comparison, "_others", away)
    connection = Connection("redis://127.0.0.1:1")
    assert not Comparison(scene.check, connection, ME, "bulk.u2netp.p1").review_if_due()
    assert scene.check.standing is Standing.COMPARING

    fresh = OutlierCheck(ME)
    for _ in range(SUSPECT_FAILURES):
        fresh.record(BATCH, code)
    assert fresh.takes_images
