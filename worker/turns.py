"""Turns at computing: one for each CPU, while the other children wait for storage.

Processes that share a CPU push each other's pixels out of its caches: with three on two CPUs,
10 megapixels took a fourteenth longer than with turns.
"""

import fcntl
import os
import select
import tempfile
import time
from contextlib import ExitStack, suppress

KILLED_SECONDS = 0.5
"""Until it is seen that a process was killed, and its turn is over: it cannot say so."""


class Turns:
    """Made before the fork and shared by the children. A turn ends with its process at the latest.

    They save time, and nothing depends on them: whoever has waited for long computes without.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        # each byte locked is a turn; the kernel unlocks what a dead process held
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closing it would unlock as well
        # each end of a turn leaves a byte here, and wakes those who wait
        self._ends, self._end = os.pipe()
        os.set_blocking(self._ends, False)
        os.set_blocking(self._end, False)

    def take(self, patience: float) -> ExitStack:
        """Wait for a turn, at most `patience` seconds. Leaving what is returned ends it."""
        turn = ExitStack()
        deadline = time.monotonic() + patience
        while not self._taken(turn) and (left := deadline - time.monotonic()) > 0:
            select.select([self._ends], [], [], min(left, KILLED_SECONDS))
            with suppress(BlockingIOError):  # another has read it, and may be faster
                os.read(self._ends, 1)
        return turn

    def _taken(self, turn: ExitStack) -> bool:
        for number in range(self._count):
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                turn.callback(self._give_back, number)
                return True
        return False

    def _give_back(self, number: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
        with suppress(BlockingIOError):  # so many are unread that nobody waits
            os.write(self._end, b"\0")
