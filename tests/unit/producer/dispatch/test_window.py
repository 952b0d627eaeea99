import pytest

from producer.dispatch.window import MIN_WINDOW, Fleet, SpeedMeter, window_of

LIMIT = 20_000


@pytest.mark.parametrize(
    ("fleet", "batches", "window"),
    [
        (Fleet(), 1, MIN_WINDOW),  # no worker yet
        (Fleet(), 3, 3 * MIN_WINDOW),
        (Fleet(), 1000, LIMIT),
        (Fleet(0, 0, 1000), 1, 2000),  # they stopped a moment ago
        (Fleet(1, 2, 0.3), 1, 5),
        (Fleet(10, 100, 100), 1, 400),
        (Fleet(100, 1000, 0), 1, 2000),  # no speed yet
        (Fleet(100, 1000, 2000), 1, 6000),
        (Fleet(100, 1000, 2000), 2, 6000),
        (Fleet(1000, 10_000, 4000), 7, LIMIT),
        (Fleet(1, 2, 3), 50, 50),  # one line for each
    ],
)
def test_the_window_follows_the_fleet_up_to_the_limit_of_all_batches(
    fleet: Fleet, batches: int, window: int
) -> None:
    assert window_of(fleet, batches, LIMIT) == window


def test_a_window_that_limits_the_speed_grows() -> None:
    """Workers that settle a whole window within a second are given a larger one."""
    window = window_of(Fleet(1, 8, 0), 1, LIMIT)
    meter = SpeedMeter()
    meter.sample(0)
    for second in range(1, 13):
        meter.add(window)
        meter.sample(second)
        window = window_of(Fleet(1, 8, meter.images_per_second), 1, LIMIT)
    assert window == LIMIT


def test_a_speed_rises_at_once_and_falls_slowly() -> None:
    meter = SpeedMeter()
    meter.add(1000)  # an unknown time ago
    meter.sample(10)
    assert meter.images_per_second == 0
    meter.add(300)
    meter.sample(10.5)
    assert meter.images_per_second == 0  # too early
    meter.add(300)
    meter.sample(12)
    assert meter.images_per_second == 300
    meter.sample(13)
    assert meter.images_per_second == pytest.approx(240)
    meter.add(500)
    meter.sample(14)
    assert meter.images_per_second == 500
