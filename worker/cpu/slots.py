"""Turns at computing: one for each CPU, while the other children wait for storage.

Processes that share a CPU push each other's pixels out of its caches: with three on two CPUs,
10 megapixels took a fourteenth longer than with two.
"""

import fcntl
import os
import select
import sys
import tempfile
import time
from contextlib import suppress

KILLED_SECONDS = 0.5
"""Until it is seen that a process was killed, and its turn is over: it cannot say so."""


class Turns:
    """Made before the fork and shared by the children, each of which has one at most.

    They save time, and nothing depends on them: whoever has waited for long computes without.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        # each byte locked is a turn; the kernel unlocks what a dead process held
        self._file = _unnamed_file()
        # each end of a turn leaves a byte here, and wakes those who wait
        self._ends, self._end = os.pipe()
        os.set_blocking(self._ends, False)
        os.set_blocking(self._end, False)

    def take(self, patience: float) -> bool:
        """Wait for a turn, at most `patience` seconds, and return whether it came."""
        deadline = time.monotonic() + patience
        while not self._taken():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            select.select([self._ends], [], [], min(left, KILLED_SECONDS))
            with suppress(BlockingIOError):  # another has read it, and may be faster
                os.read(self._ends, 1)
        return True

    def end(self) -> None:
        """End the turn of this process, if it has one."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        with suppress(BlockingIOError):  # so many are unread that nobody waits
            os.write(self._end, b"\0")

    def _taken(self) -> bool:
        for number in range(self._count):
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return True
        return False


def _unnamed_file() -> int:
    """Return the descriptor of a file of our own, where there may be no folder to write in."""
    if sys.platform == "linux":
        return os.memfd_create("turns")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
