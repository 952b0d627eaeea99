"""When this machine held up processes that nothing of its own can hold up."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SLEEP_SECONDS = 0.001
LATE_SECONDS = 0.002
"""A process that wakes this much too late was held up."""
PRIORITY = 50
"""Real-time priority, above that of Redis."""
AROUND_SECONDS = 1
"""Redis notes when a command ended in whole seconds."""


class Stalls:
    """The seconds in which a process woke late, and by how much at most."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self._late: dict[int, float] = {}

    def watch(self, cpu: int) -> None:
        """Sleep on one CPU, 1 ms at a time, for ever. Needs root for the priority."""
        with suppress(OSError):
            os.sched_setaffinity(0, {cpu})
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
        with self._notes.open("a", buffering=1) as notes:
            while True:
                before = time.perf_counter()
                time.sleep(SLEEP_SECONDS)
                late = time.perf_counter() - before - SLEEP_SECONDS
                if late > LATE_SECONDS:
                    notes.write(f"{int(time.time())} {late * 1000}\n")

    def read_notes(self) -> None:
        for line in self._notes.read_text().splitlines():
            second, late = line.split()
            self._late[int(second)] = max(float(late), self._late.get(int(second), 0.0))

    @property
    def seconds(self) -> int:
        """The number of seconds in which the machine held up a process."""
        return len(self._late)

    def longest(self) -> float:
        """Return the longest one in milliseconds."""
        return max(self._late.values(), default=0.0)

    def at(self, moment: int) -> float:
        """Return the longest one at about a time, in seconds since 1970, in milliseconds."""
        around = range(moment - AROUND_SECONDS, moment + AROUND_SECONDS + 1)
        return max(self._late.get(second, 0.0) for second in around)


@contextmanager
def watched() -> Iterator[Stalls]:
    """Watch all CPUs meanwhile."""
    with tempfile.NamedTemporaryFile() as file:
        stalls = Stalls(Path(file.name))
        processes = [
            multiprocessing.Process(target=stalls.watch, args=(cpu,), daemon=True)
            for cpu in os.sched_getaffinity(0)
        ]
        for process in processes:
            process.start()
        try:
            yield stalls
        finally:
            for process in processes:
                process.kill()
                process.join()
            stalls.read_notes()
