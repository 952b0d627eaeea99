"""CPU slots: one computing child per CPU while the others wait on storage.

Processes that share a CPU evict each other's pixels from its caches: with three children on two
CPUs, 10 megapixel photographs took a fourteenth longer than with two.
"""

import fcntl
import os
import select
import sys
import tempfile
import time
from contextlib import suppress

POLL_SECONDS = 0.5
"""Interval for noticing that a process died holding a slot: it cannot wake the others."""


class CpuSlots:
    """Created before the fork and shared by the children, each of which holds at most one slot.

    Slots only save time; nothing depends on them for correctness.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        # a slot is a locked byte; the kernel unlocks what a dead process held
        self._file = _anonymous_file()
        # each release writes a byte here, which wakes those who wait
        self._released, self._release = os.pipe()
        os.set_blocking(self._released, False)
        os.set_blocking(self._release, False)

    def acquire(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a slot; return whether one was acquired."""
        deadline = time.monotonic() + timeout
        while not self._try_acquire():
            remaining_seconds = deadline - time.monotonic()
            if remaining_seconds <= 0:
                return False
            select.select([self._released], [], [], min(remaining_seconds, POLL_SECONDS))
            with suppress(BlockingIOError):  # another process read the byte first
                os.read(self._released, 1)
        return True

    def release(self) -> None:
        """Release this process's slot, if it holds one."""
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        with suppress(BlockingIOError):  # the pipe is full of unread bytes, so nobody waits
            os.write(self._release, b"\0")

    def _try_acquire(self) -> bool:
        for number in range(self._count):
            with suppress(OSError):
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return True
        return False


def _anonymous_file() -> int:
    """Return the descriptor of a file without a name: the root file system may be read-only."""
    if sys.platform == "linux":
        return os.memfd_create("cpu-slots")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
