"""What the children of a worker have counted, readable by its main process.

Each position in the pool has a region of shared memory, created before the fork. A child copies its
counters there after each image, and a child that takes the place of a dead one continues from what
the dead one had copied. So nothing is counted twice; a child that is killed loses what it counted
since its last image ended, which is part of one image.
"""

import json
import mmap
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

from contract.counters import Rows, counters, total

COPY_BYTES = 64 * 1024
"""Room for the counters of one child, as JSON: about 300 series of 100 bytes, twice."""
_HEADER = struct.Struct("=QQ")
"""PID of the child; number of copies written so far"""
_COPY = struct.Struct("=II")
"""length and CRC-32 of a copy"""
_REGION_BYTES = _HEADER.size + 2 * COPY_BYTES
READS = 5
"""How often a copy is read that is being overwritten."""


class SharedMeters:
    """The regions of all children. The kernel allocates only the pages that are written."""

    def __init__(self, children: int) -> None:
        """`children`: how many processes the pool has at a time."""
        self._children = children
        self._memory = mmap.mmap(-1, children * _REGION_BYTES)
        self._own: int | None = None

    # called by children

    def attach(self, child: int) -> None:
        """Make the calling process the child at a position, and continue from its counts."""
        self._own = child
        _, number = self._header(child)
        _HEADER.pack_into(self._memory, child * _REGION_BYTES, os.getpid(), number)
        counters.restore(self._read(child))

    def publish(self) -> None:
        """Copy this process's counters into its region. Does nothing if it is not a child."""
        if self._own is None:
            return
        text = json.dumps([[*series, row] for series, row in counters.rows().items()]).encode()
        if len(text) > COPY_BYTES - _COPY.size:
            return
        pid, number = self._header(self._own)
        start = self._copy_start(self._own, number + 1)
        _COPY.pack_into(self._memory, start, len(text), zlib.crc32(text))
        self._memory[start + _COPY.size : start + _COPY.size + len(text)] = text
        # only now does the copy count: a process killed before leaves the one before it
        _HEADER.pack_into(self._memory, self._own * _REGION_BYTES, pid, number + 1)

    # called by the main process

    def rows(self) -> Rows:
        """Return the sums over all children."""
        return total([self._read(child) for child in range(self._children) if self._pid(child)])

    def memory_bytes(self) -> dict[int, int]:
        """Return the resident memory of each running child by position. Empty without /proc."""
        sizes = {}
        for child in range(self._children):
            if pid := self._pid(child):
                with suppress(OSError, IndexError):
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                    sizes[child] = pages * mmap.PAGESIZE
        return sizes

    def _pid(self, child: int) -> int:
        return self._header(child)[0]

    def _header(self, child: int) -> tuple[int, int]:
        pid, number = _HEADER.unpack_from(self._memory, child * _REGION_BYTES)
        return int(pid), int(number)

    @staticmethod
    def _copy_start(child: int, number: int) -> int:
        """Return where copy `number` lies: copies alternate between two places."""
        return child * _REGION_BYTES + _HEADER.size + number % 2 * COPY_BYTES

    def _read(self, child: int) -> Rows:
        """Return the counts of a child's last copy; empty without one."""
        for _ in range(READS):
            _, number = self._header(child)
            if number == 0:
                break
            start = self._copy_start(child, number)
            length, checksum = _COPY.unpack_from(self._memory, start)
            text = self._memory[start + _COPY.size : start + _COPY.size + length]
            if zlib.crc32(text) == checksum:  # else it was overwritten meanwhile
                return {(name, tuple(labels)): row for name, labels, row in json.loads(text)}
        return {}
