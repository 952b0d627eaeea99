import pytest

from producer.dispatch.throttle import INTERVAL_SECONDS, MIN_ATTEMPTS, Load, Throttle

CHILDREN, WINDOW = 16, 100


class Storage:
    """Results of attempts, an interval after the other."""

    def __init__(self) -> None:
        self.throttle = Throttle()
        self.moment = 0.0
        self.settled = self.errors = 0
        self.interval(0, 0)

    def interval(self, settled: int, errors: int, claimed: int = CHILDREN) -> int | None:
        self.settled += settled
        self.errors += errors
        load = Load(self.settled, self.errors, claimed, CHILDREN)
        self.throttle.update(self.moment, load, WINDOW)
        self.moment += INTERVAL_SECONDS
        return self.throttle.limit


@pytest.mark.parametrize(
    ("settled", "errors", "limit"),
    [
        (100, 0, None),
        (100, 5, None),  # retries make up for it
        (100, 20, CHILDREN // 2),
        (0, 100, CHILDREN // 2),
        (0, MIN_ATTEMPTS - 1, None),
    ],
)
def test_the_images_in_process_are_halved_if_too_many_attempts_fail(settled, errors, limit) -> None:
    assert Storage().interval(settled, errors) == limit


def test_it_is_halved_again_until_the_storage_keeps_up_and_then_grows_back() -> None:
    storage = Storage()
    limits = [storage.interval(10, 10, claimed=16) for _ in range(6)]
    assert limits == [8, 4, 2, 1, 1, 1]
    limits = [storage.interval(50, 0) for _ in range(80)]
    assert limits[:3] == [2, 3, 4]
    growing = [limit for limit in limits if limit is not None]
    assert growing == sorted(growing)
    assert limits[-1] is None


def test_a_fleet_is_never_stopped_by_failures_that_do_not_depend_on_its_load() -> None:
    throttle = Throttle()
    for step in range(20):
        load = Load(10 * step, 10 * step, claimed=10_000, children=10_000)
        throttle.update(step * INTERVAL_SECONDS, load, 50_000)
    assert throttle.limit == 10_000 // 32


def test_results_count_once() -> None:
    storage = Storage()
    storage.interval(10, 90)
    assert storage.throttle.limit == 8
    assert [storage.interval(0, 0) for _ in range(3)] == [8, 8, 8]
    assert storage.interval(50, 0) == 9
    storage.moment -= INTERVAL_SECONDS  # too early
    assert storage.interval(0, 100) == 9
    assert storage.interval(0, 0) == 4


def test_counters_that_go_back_start_over() -> None:
    storage = Storage()
    storage.interval(100, 0)
    storage.settled = 10  # a retry reopened images
    assert storage.interval(0, 50) is None
    assert storage.interval(0, 50) == 8
