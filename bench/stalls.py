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
"""Redis notes in whole seconds when a command ended."""


Stalls = dict[int, float]
"""Seconds since 1970 in which a process woke late, with the longest time in milliseconds."""


@contextmanager
def watched() -> Iterator[Stalls]:
    """Watch all CPUs meanwhile. What was seen is there at the end."""
    stalls: Stalls = {}
    with tempfile.NamedTemporaryFile() as file:
        processes = [
            multiprocessing.Process(target=_watch, args=(cpu, file.name), daemon=True)
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
            for line in Path(file.name).read_text().splitlines():
                second, late = line.split()
                stalls[int(second)] = max(float(late), stalls.get(int(second), 0.0))


def longest_around(stalls: Stalls, second: int) -> float:
    """Return the longest stall at about a time, in seconds since 1970, in milliseconds."""
    around = range(second - AROUND_SECONDS, second + AROUND_SECONDS + 1)
    return max(stalls.get(moment, 0.0) for moment in around)


def _watch(cpu: int, notes: str) -> None:
    """Sleep on one CPU, 1 ms at a time, for ever. Needs root for the priority."""
    with suppress(OSError):
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    with Path(notes).open("a", buffering=1) as file:
        while True:
            before = time.perf_counter()
            time.sleep(SLEEP_SECONDS)
            late = time.perf_counter() - before - SLEEP_SECONDS
            if late > LATE_SECONDS:
                file.write(f"{int(time.time())} {late * 1000}\n")
