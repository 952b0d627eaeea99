import pytest

from producer.dispatch.forecast import MIN_SPAN_SECONDS, SPAN_SECONDS, Speed


def speed(*points: tuple[float, int]) -> Speed:
    observed = Speed()
    for moment, settled in points:
        observed.add(moment, settled)
    return observed


@pytest.mark.parametrize(
    ("points", "remaining", "end"),
    [
        ([(0, 0)], 100, None),
        ([(0, 0), (MIN_SPAN_SECONDS - 1, 1000)], 100, None),
        ([(0, 0), (100, 50)], 100, 300),
        ([(0, 20), (100, 70)], 0, 100),  # nothing remains
        ([(0, 0), (100, 0)], 3, 400),  # stands still
        ([(0, 900), (SPAN_SECONDS, 900), (2 * SPAN_SECONDS, 1200)], 300, 3 * SPAN_SECONDS),
        ([(0, 0), (100, 50), (200, 10)], 5, None),  # a retry reopened images
        ([(0, 0), (100, 50), (200, 10), (300, 20)], 5, 350),
    ],
)
def test_the_end_is_estimated_from_the_latest_speed(points, remaining, end) -> None:
    assert speed(*points).end(remaining) == end


def test_the_estimate_of_a_batch_that_stands_still_moves_away() -> None:
    observed = speed((0, 0), (100, 1000))
    ends = []
    for moment in range(200, 1000, 100):
        observed.add(moment, 1000)
        ends.append(observed.end(500))
    assert ends == sorted(ends)
    assert ends[-1] > 900 + SPAN_SECONDS * 400
