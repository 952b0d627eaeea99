import pytest

from contract.errors import INFRASTRUCTURE_CODES, ErrorCode
from contract.outcome import AttemptResult
from producer.dispatch.breaker import (
    FULL_RESULTS,
    MAY_RECOVER,
    MIN_RESULTS,
    TRIP_SHARE,
    WAIT_SECONDS,
    CircuitBreaker,
    evaluate,
)

KEPT = 50
DOWN, DENIED = ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.ACCESS_DENIED


def of(worker: str, code: str, count: int) -> list[AttemptResult]:
    return [AttemptResult(code, worker, 0)] * count


def results(errors: int, well: int, code: str = DOWN) -> list[AttemptResult]:
    return of("a", code, errors) + of("a", "ok", well)


@pytest.mark.parametrize(
    ("errors", "well", "stops"),
    [
        (0, 0, False),
        (0, KEPT, False),
        (MIN_RESULTS - 1, 0, False),  # too few to tell
        (MIN_RESULTS, 0, True),
        (39, 11, False),
        (40, 10, True),
        (KEPT, 0, True),
    ],
)
def test_a_batch_stops_once_four_fifths_of_enough_attempts_end_in_trouble(
    errors, well, stops
) -> None:
    assert bool(evaluate(results(errors, well))) is stops


def test_the_order_of_the_endings_does_not_matter() -> None:
    rows = results(40, 10)
    assert evaluate(rows) == evaluate(rows[::-1])


def test_troubles_of_several_kinds_add_up_and_the_commonest_is_named() -> None:
    codes = [DOWN] * 15 + [ErrorCode.TIME_LIMIT] * 14 + [DENIED] * 12 + ["ok"] * 9
    tripped = evaluate([AttemptResult(code) for code in codes])

    assert tripped is not None
    assert tripped.reason.startswith("15 of the last 50 attempts failed with storage_unavailable.")
    assert tripped.may_recover


@pytest.mark.parametrize("code", sorted(INFRASTRUCTURE_CODES))
def test_trouble_that_may_pass_is_tried_again_and_the_rest_waits_for_an_operator(code) -> None:
    tripped = evaluate(results(KEPT, 0, code))

    assert tripped is not None
    assert tripped.may_recover is (code in MAY_RECOVER)
    assert ("Retried every 60 s." in tripped.reason) is tripped.may_recover
    assert ("`cutout resume` continues it." in tripped.reason) is not tripped.may_recover


@pytest.mark.parametrize("code", sorted({*ErrorCode} - INFRASTRUCTURE_CODES))
def test_bad_photographs_never_stop_a_batch(code) -> None:
    assert evaluate(results(KEPT, 0, code)) is None


def test_bad_photographs_among_trouble_count_as_images_that_went_through() -> None:
    most = round(TRIP_SHARE * KEPT)
    bad = ErrorCode.CORRUPT_IMAGE
    assert evaluate(of("a", DOWN, most) + of("a", bad, KEPT - most)) is not None
    assert evaluate(of("a", DOWN, most - 1) + of("a", bad, KEPT - most + 1)) is None


# several workers


@pytest.mark.parametrize("workers", [2, 3, 5, 9, 30, 1000])
def test_one_worker_that_fails_fast_pauses_no_batch(workers: int) -> None:
    """It has made all but a few of the latest attempts, or all of them."""
    for others in range(7):
        latest = of("bad", DENIED, KEPT - others) + of("good", "ok", others)
        assert evaluate(latest, workers) is None


@pytest.mark.parametrize("workers", [2, 3, 4, 5, 8, 13, 20, 40, 1000])
def test_a_fault_that_all_workers_have_pauses_the_batch(workers: int) -> None:
    latest = [AttemptResult(DENIED, f"{number % workers}", 0) for number in range(KEPT)]
    assert evaluate(latest, workers) is not None


def test_a_worker_counts_up_to_its_share_with_its_latest_results() -> None:
    share = FULL_RESULTS // 2
    late, early = of("a", DOWN, share), of("a", "ok", KEPT)
    tripped = evaluate(late + early + of("b", DOWN, 10), 2)
    assert tripped is not None
    assert tripped.reason.startswith(f"{share + 10} of the last {share + 10} attempts failed")


def test_workers_without_results_are_waited_for() -> None:
    """Several bad workers fail before any good one has finished its first image."""
    breaker = CircuitBreaker()
    bad = [result for name in "abcde" for result in of(name, DENIED, 8)]
    assert breaker.check("x", bad, 9, 100) is None
    good = [*of("f", "ok", 4), *of("g", "ok", 4), *bad]
    assert breaker.check("x", good, 9, 101) is None
    assert breaker.check("x", bad, 9, 102) is None  # waits again
    assert breaker.check("x", bad, 9, 101.9 + WAIT_SECONDS) is None
    assert breaker.check("x", bad, 9, 102 + WAIT_SECONDS) is not None
    assert breaker.check("x", bad, 9, 200) is None
    assert breaker.check("x", bad, 5, 201) is not None
    assert breaker.check("y", of("a", DENIED, KEPT), 0, 0) is not None
