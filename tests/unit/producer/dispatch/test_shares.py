import pytest

from producer.dispatch.shares import Claimant, shares

MANY = 10**6


def one(limit: int = MANY, priority: int = 0, weight: int = 1) -> Claimant:
    return Claimant(limit, priority, weight)


@pytest.mark.parametrize(
    ("total", "claimants", "windows"),
    [
        (100, {}, {}),
        (100, {"a": one()}, {"a": 100}),
        (100, {"a": one(), "b": one()}, {"a": 50, "b": 50}),
        (100, {"a": one(weight=3), "b": one()}, {"a": 75, "b": 25}),
        # what one cannot use goes to the others
        (100, {"a": one(20), "b": one(), "c": one()}, {"a": 20, "b": 40, "c": 40}),
        (100, {"a": one(20, weight=9), "b": one(weight=1)}, {"a": 20, "b": 80}),
        (100, {"a": one(10), "b": one(10)}, {"a": 10, "b": 10}),
        (100, {"a": one(0), "b": one()}, {"a": 0, "b": 100}),
        # higher priorities come first
        (100, {"a": one(), "b": one(priority=1)}, {"a": 0, "b": 100}),
        (100, {"a": one(), "b": one(30, priority=1)}, {"a": 70, "b": 30}),
        (100, {"a": one(priority=-1), "b": one(), "c": one()}, {"a": 0, "b": 50, "c": 50}),
        (
            100,
            {"a": one(priority=5, limit=10), "b": one(priority=2, limit=20), "c": one(weight=7)},
            {"a": 10, "b": 20, "c": 70},
        ),
        # few lines, many batches
        (2, {"a": one(), "b": one(), "c": one()}, {"a": 1, "b": 1, "c": 0}),
        (3, {"a": one(weight=100), "b": one(), "c": one()}, {"a": 1, "b": 1, "c": 1}),
        (0, {"a": one()}, {"a": 0}),
    ],
)
def test_the_fleet_is_divided_by_priority_weight_and_limit(total, claimants, windows) -> None:
    assert shares(total, claimants) == windows


def test_nothing_is_left_over_and_nothing_is_given_twice() -> None:
    for total in range(0, 300, 7):
        claimants = {
            str(n): one(limit=(n * 37) % 50, priority=n % 3, weight=1 + n % 5) for n in range(20)
        }
        windows = shares(total, claimants)
        needed = sum(one.limit for one in claimants.values())
        assert sum(windows.values()) == min(total, needed)
        assert all(windows[name] <= claimants[name].limit for name in claimants)
