import pytest

from contract.errors import INFRASTRUCTURE_CODES, ErrorCode
from producer.dispatch.breaker import MAY_RECOVER, MIN_RESULTS, TRIP_SHARE, evaluate

KEPT = 50
DOWN, DENIED = ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.ACCESS_DENIED


def results(errors: int, well: int, code: str = DOWN) -> list[str]:
    return [code] * errors + ["ok"] * well


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
    tripped = evaluate([DOWN] * 15 + [ErrorCode.TIME_LIMIT] * 14 + [DENIED] * 12 + ["ok"] * 9)

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
    bad = [ErrorCode.CORRUPT_IMAGE.value]
    most = round(TRIP_SHARE * KEPT)
    assert evaluate([DOWN] * most + bad * (KEPT - most)) is not None
    assert evaluate([DOWN] * (most - 1) + bad * (KEPT - most + 1)) is None
