"""Which parts of a source are listed."""

from itertools import permutations

import pytest

from producer.batches.sources import Covered

PARTS = [("", "c"), ("c", "f"), ("f", "k"), ("k", None)]


@pytest.mark.parametrize("order", permutations(PARTS))
def test_gaps_are_what_was_not_added(order) -> None:
    covered = Covered("")
    assert covered.gaps() == [("", None)]
    left = set(PARTS)
    for part in order:
        covered.add(part)
        left.discard(part)
        again = Covered("", covered.intervals)
        gaps = again.gaps()
        for interval in gaps:
            again.add(interval)
        assert again.gaps() == []
        # the gaps consist of the parts that are left, joined where they meet
        points = {start for start, _ in left} ^ {end for _, end in left}
        assert {start for start, _ in gaps} ^ {end for _, end in gaps} == points
    assert covered.intervals == [("", None)]


def test_positions_may_be_numbers() -> None:
    covered = Covered(0, [(0, 1000)])
    covered.add((1000, 2000))
    assert covered.gaps() == [(2000, None)]
