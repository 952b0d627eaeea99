"""How the fleet is divided among the batches that share it. Arithmetic only: no Redis, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Claimant:
    """A batch that could use some of the fleet."""

    limit: int
    """most lines of it that can be queued or in process, from 0"""
    priority: int = 0
    weight: int = 1


def shares(total: int, claimants: Mapping[str, Claimant]) -> dict[str, int]:
    """Divide `total` lines among batches; return the window of each.

    Higher priorities come first, and lower ones get what these cannot use. Batches of the same
    priority share by weight, and what one cannot use goes to the others.
    """
    windows: dict[str, int] = {}
    ordered = sorted(claimants.items(), key=lambda item: (-item[1].priority, item[0]))
    for _, group in groupby(ordered, key=lambda item: item[1].priority):
        equals = dict(group)
        windows |= _by_weight(total - sum(windows.values()), equals)
    return windows


def _by_weight(total: int, claimants: dict[str, Claimant]) -> dict[str, int]:
    """Divide `total` among batches of one priority: at least one line each, if there are enough.

    The batch that needs least for its weight comes first, so that what it leaves is divided among
    the rest. Rounding is in favour of the rest, and the last one gets the whole remainder.
    """
    windows: dict[str, int] = {}
    weights = sum(one.weight for one in claimants.values())
    ordered = sorted(claimants.items(), key=lambda item: item[1].limit / item[1].weight)
    for others, (batch, one) in zip(reversed(range(len(ordered))), ordered, strict=True):
        fair = min(total * one.weight // weights, total - others)
        windows[batch] = min(one.limit, max(fair, min(1, total)))
        total -= windows[batch]
        weights -= one.weight
    return windows
