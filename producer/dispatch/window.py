"""How many lines of a queue are issued at a time. Arithmetic only: no Redis, no clock.

The queue holds a few seconds of work for the workers that serve it: enough that no child is idle
while the dispatcher does something else, and no more, because every queued line takes memory in
Redis and delays what is published after it.
"""

import math
from dataclasses import dataclass

LINES_PER_CHILD = 2
"""Lines for each child beside the backlog: one being processed, one queued."""
BACKLOG_SECONDS = 2
"""Seconds of work in the queue at the measured speed: a new batch starts behind it, within 3 s. A
dispatcher that dies is replaced later than that, but one that is busy with other batches returns
much sooner."""
MIN_WINDOW = 200
"""Lines of a batch that are queued while no worker is running. Beside slow workers it would be too
many: they take minutes for them, and a batch of a higher priority would wait that long."""
SAMPLE_SECONDS = 1
"""Shortest interval over which a speed is measured."""
DECAY = 0.2
"""Weight of a new sample that is below the present speed. One above it counts at once."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers that serve one queue."""

    workers: int = 0
    children: int = 0
    """of all of these workers"""
    images_per_second: float = 0
    """settled by them lately"""


def window_of(fleet: Fleet, batches: int, limit: int) -> int:
    """Return how many lines of all batches may be queued or in process at a time.

    `batches`: number of batches that share the fleet. `limit`: upper bound.
    """
    wanted = LINES_PER_CHILD * fleet.children + BACKLOG_SECONDS * fleet.images_per_second
    least = batches if fleet.children else MIN_WINDOW * batches
    return min(limit, max(math.ceil(wanted), least))


class SpeedMeter:
    """Images per second, from a counter of settled images. Follows a rise at once, a fall slowly.

    So neither a short pause of the storage nor a restart of Redis empties the queue.
    """

    def __init__(self) -> None:
        self.images_per_second = 0.0
        self._images = 0
        self._since: float | None = None

    def add(self, images: int) -> None:
        """Count images that were settled since the last call."""
        self._images += images

    def sample(self, now: float) -> None:
        """Update the speed, if a sample is due. `now`: seconds of a monotonic clock."""
        if self._since is None:
            self._since, self._images = now, 0
            return
        seconds = now - self._since
        if seconds < SAMPLE_SECONDS:
            return
        speed = self._images / seconds
        weight = 1 if speed > self.images_per_second else DECAY
        self.images_per_second += weight * (speed - self.images_per_second)
        self._since, self._images = now, 0
