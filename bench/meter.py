"""CPU seconds and memory of processes, by their part in a program; starting and ending them."""

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil

SAMPLE_SECONDS = 1
MEMORY_EVERY = 5
"""Samples from one that reads memory to the next: computing PSS takes the kernel 30 ms."""
STOP_SECONDS = 60

PARTS = (
    ("rclone", "S3 endpoint"),
    ("redis-server", "Redis"),
    ("valkey-server", "Redis"),
    ("producer flower", "Flower"),
    ("flower_app", "Flower"),
    ("producer dispatch", "dispatcher"),
    ("cutout run", "cutout run"),
    ("cutout worker", "child"),
    ("worker worker", "Celery main"),
    ("celeryd", "Celery main"),
    ("rembg", "rembg"),
)
"""Text in a command line, and the process's part in its program. The first match counts."""

OTHER_PROGRAMS = "other programs"
"""CPU seconds of all other programs on the machine. If they are many, repeat the measurement."""


class Meter:
    """Samples processes and their descendants from a thread of its own, as a context manager."""

    def __init__(self, *roots: int) -> None:
        self._roots = [psutil.Process(pid) for pid in roots]
        self._parts: dict[int, str] = {}
        self._seconds: dict[int, float] = {}
        self._series: list[tuple[float, dict[str, float]]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak_rss: dict[int, int] = {}
        """peak RSS of each process in bytes, as recorded by the kernel (VmHWM)"""
        self.bytes_together = 0
        """peak of the PSS of all processes but the S3 endpoint, summed"""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def cpu(self, start: float, end: float) -> dict[str, float]:
        """Return the CPU seconds of each part between two moments of time.time()."""
        moments = [moment for moment, _ in self._series]
        last = min(end, moments[-1])  # the last sample comes a little before the end
        seconds = {}
        for part in self._series[-1][1]:
            values = [sums.get(part, 0.0) for _, sums in self._series]
            spent = float(np.diff(np.interp((start, last), moments, values))[0])
            seconds[part] = spent * (end - start) / (last - start)
        return seconds

    def largest(self) -> int:
        """Return the peak RSS of the largest process but the S3 endpoint."""
        sizes = (rss for pid, rss in self.peak_rss.items() if self._parts[pid] != "S3 endpoint")
        return max(sizes, default=0)

    def children(self) -> dict[int, int]:
        """Return the peak RSS so far of each worker child, by process ID."""
        return {pid: rss for pid, rss in self.peak_rss.items() if self._parts[pid] == "child"}

    def _watch(self) -> None:
        number = 0
        while not self._stop.is_set():
            self._sample(with_memory=number % MEMORY_EVERY == 0)
            number += 1
            self._stop.wait(SAMPLE_SECONDS)

    def _sample(self, *, with_memory: bool) -> None:
        pss = 0
        for process in self._tree():
            with suppress(psutil.Error, OSError, LookupError):
                # read each time: a process that has just forked still has its parent's title
                if line := " ".join(process.cmdline()):  # empty once it has ended
                    self._parts[process.pid] = _part(line)
                part = self._parts[process.pid]
                times = process.cpu_times()
                self._seconds[process.pid] = times.user + times.system
                self.peak_rss[process.pid] = peak_rss(process)
                if with_memory and part != "S3 endpoint":
                    pss += process.memory_full_info().pss
        self.bytes_together = max(self.bytes_together, pss)
        sums: defaultdict[str, float] = defaultdict(float)
        for pid, seconds in self._seconds.items():
            sums[self._parts[pid]] += seconds
        sums[OTHER_PROGRAMS] = _busy() - sum(self._seconds.values())
        self._series.append((time.time(), dict(sums)))

    def _tree(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            with suppress(psutil.Error):
                yield root
                yield from root.children(recursive=True)


def _part(line: str) -> str:
    return next((part for text, part in PARTS if text in line), "other")


def _busy() -> float:
    """Return the CPU seconds of the whole machine, including its host's (steal)."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq + times.steal)


def peak_rss(process: psutil.Process) -> int:
    """Return the peak RSS of a process in bytes, as recorded by the kernel (VmHWM)."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split(maxsplit=1)[0]) * 1024


@contextmanager
def running(
    command: list[str], log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command out of reach of the terminal's Ctrl-C; end it and its descendants at exit."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        descendants = []
        with suppress(psutil.Error):
            descendants = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        for remaining in (process, *descendants):
            with suppress(psutil.Error, ProcessLookupError):
                remaining.kill()
        process.wait()
