"""Slows a batch down while its storage fails, as S3 does with `SlowDown`. No Redis, no clock.

Like TCP: the images in process are halved while too many attempts fail, and increased step by step
while few do. So storage gets as many requests as it can answer, and images do not use up their
retries.
"""

from dataclasses import dataclass

INTERVAL_SECONDS = 2
"""Shortest time between two changes: long enough for the last one to show in the results."""
MIN_ATTEMPTS = 5
"""No change is made from fewer results."""
MAX_ERROR_SHARE = 0.1
"""Share of attempts that fail with `storage_unavailable` above which a batch is slowed down. Each
attempt consists of about three requests, each of which is repeated once."""
MIN_CHILDREN_SHARE = 1 / 32
"""Share of the fleet's children that stay busy: failures that do not depend on the load must not
stop a fleet."""
GROWTH = 0.1
"""Increase of the limit in one step, as a share of it; at least one image."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a batch does to its storage, and how that goes."""

    settled: int
    """images settled so far"""
    errors: int
    """attempts so far that failed with `storage_unavailable`"""
    claimed: int
    """images in process"""
    children: int
    """of the workers that serve the batch's queue"""


class Throttle:
    """The limit of one batch."""

    def __init__(self) -> None:
        self.limit: int | None = None
        """most images in the queue or in process at a time; None: as many as the fleet takes"""
        self.error_share = 0.0
        """share of the latest attempts that failed with `storage_unavailable`"""
        self._seen: tuple[float, int, int] | None = None
        """moment, settled images and errors at the last change"""
        self._claimed = 0
        """most images in process since then"""

    def update(self, moment: float, load: Load, window: int) -> None:
        """Change the limit, if a change is due.

        `moment`: seconds of a monotonic clock. `window`: the limit that needs no throttle.
        """
        settled, errors = load.settled, load.errors
        self._claimed = max(self._claimed, load.claimed)
        if self._seen is None or settled < self._seen[1] or errors < self._seen[2]:
            self._seen = moment, settled, errors  # the first time, or after a retry or rebuild
            return
        before, settled_before, errors_before = self._seen
        succeeded, failed = settled - settled_before, errors - errors_before
        attempts = succeeded + failed
        if moment - before < INTERVAL_SECONDS or attempts < MIN_ATTEMPTS:
            return
        self._seen = moment, settled, errors
        claimed, self._claimed = self._claimed, 0
        self.error_share = failed / attempts
        if self.error_share > MAX_ERROR_SHARE:
            present = claimed if self.limit is None else min(self.limit, claimed)
            self.limit = max(1, int(MIN_CHILDREN_SHARE * load.children), present // 2)
        elif self.limit is not None:
            self.limit += max(1, int(GROWTH * self.limit))
            if self.limit >= window:
                self.limit = None
