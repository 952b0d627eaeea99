import pytest

from contract.errors import WORLDLY, ErrorCode
from producer.dispatch.breaker import BREAKING_SHARE, LEAST_ENDINGS, MAY_HEAL, judge

KEPT = 50
DOWN, DENIED = ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.ACCESS_DENIED


def endings(trouble: int, well: int, code: str = DOWN) -> list[str]:
    return [code] * trouble + ["ok"] * well


@pytest.mark.parametrize(
    ("trouble", "well", "stops"),
    [
        (0, 0, False),
        (0, KEPT, False),
        (LEAST_ENDINGS - 1, 0, False),  # too few to tell
        (LEAST_ENDINGS, 0, True),
        (39, 11, False),
        (40, 10, True),
        (KEPT, 0, True),
    ],
)
def test_a_batch_stops_once_four_fifths_of_enough_attempts_end_in_trouble(
    trouble, well, stops
) -> None:
    assert bool(judge(endings(trouble, well))) is stops


def test_the_order_of_the_endings_does_not_matter() -> None:
    rows = endings(40, 10)
    assert judge(rows) == judge(rows[::-1])


def test_troubles_of_several_kinds_add_up_and_the_commonest_is_named() -> None:
    trip = judge([DOWN] * 15 + [ErrorCode.TIME_LIMIT] * 14 + [DENIED] * 12 + ["ok"] * 9)

    assert trip is not None
    assert trip.why.startswith("15 of the last 50 attempts ended in storage_unavailable.")
    assert trip.heals


@pytest.mark.parametrize("code", sorted(WORLDLY))
def test_trouble_that_may_pass_is_tried_again_and_the_rest_waits_for_a_person(code) -> None:
    trip = judge(endings(KEPT, 0, code))

    assert trip is not None
    assert trip.heals is (code in MAY_HEAL)
    assert ("Tried again every 60 s." in trip.why) is trip.heals
    assert ("`cutout resume` carries on." in trip.why) is not trip.heals


@pytest.mark.parametrize("code", sorted({*ErrorCode} - WORLDLY))
def test_bad_photographs_never_stop_a_batch(code) -> None:
    assert judge(endings(KEPT, 0, code)) is None


def test_bad_photographs_among_trouble_count_as_images_that_went_through() -> None:
    bad = [ErrorCode.CORRUPT_IMAGE.value]
    most = round(BREAKING_SHARE * KEPT)
    assert judge([DOWN] * most + bad * (KEPT - most)) is not None
    assert judge([DOWN] * (most - 1) + bad * (KEPT - most + 1)) is None
