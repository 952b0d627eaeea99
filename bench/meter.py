"""What processes cost, CPU seconds and memory, by the part each plays, and how they are ended."""

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

TICK = 1
MEMORY_EVERY = 5  # ticks: to add up the shares of shared pages takes the kernel 30 ms
STOP_SECONDS = 60

PARTS = (
    ("rclone", "S3 endpoint"),
    ("redis-server", "Redis"),
    ("producer flower", "Flower"),
    ("flower_app", "Flower"),
    ("producer dispatch", "dispatcher"),
    ("cutout run", "cutout run"),
    ("cutout worker", "child"),
    ("worker worker", "Celery main"),
    ("celeryd", "Celery main"),
    ("rembg", "rembg"),
)
"""What a command line holds, and the part its process plays; the first that fits."""

ELSEWHERE = "elsewhere"
"""What other programs took of the machine meanwhile: where it is much, the figures are not ours."""


class Meter:
    """Samples some processes and all below them, from a thread of its own, until it is left."""

    def __init__(self, *roots: int) -> None:
        self._roots = [psutil.Process(pid) for pid in roots]
        self._parts: dict[int, str] = {}
        self._seconds: dict[int, float] = {}
        self._series: list[tuple[float, dict[str, float]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.highest: dict[int, int] = {}
        """peak RSS of each process in bytes, as the kernel kept it"""
        self.together = 0
        """the most that all processes but the S3 endpoint held at once: PSS, bytes"""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def cpu(self, start: float, end: float) -> dict[str, float]:
        """Return the CPU seconds of each part between two moments of time.time()."""
        moments = [moment for moment, _ in self._series]
        seen = min(end, moments[-1])  # the last sample comes a little before the end
        seconds = {}
        for part in self._series[-1][1]:
            values = [sums.get(part, 0.0) for _, sums in self._series]
            spent = float(np.diff(np.interp((start, seen), moments, values))[0])
            seconds[part] = spent * (end - start) / (seen - start)
        return seconds

    def largest(self) -> int:
        """Return the peak RSS of the largest process but the S3 endpoint."""
        ours = (rss for pid, rss in self.highest.items() if self._parts[pid] != "S3 endpoint")
        return max(ours, default=0)

    def children(self) -> dict[int, int]:
        """Return the peak RSS, so far, of each child that cuts out."""
        return {pid: rss for pid, rss in self.highest.items() if self._parts[pid] == "child"}

    def _watch(self) -> None:
        tick = 0
        while not self._ended.is_set():
            self._sample(with_memory=tick % MEMORY_EVERY == 0)
            tick += 1
            self._ended.wait(TICK)

    def _sample(self, *, with_memory: bool) -> None:
        held = 0
        for process in self._tree():
            with suppress(psutil.Error, OSError, LookupError):
                # asked each time: a process that has just forked still has the name of another
                if line := " ".join(process.cmdline()):  # none once it has ended
                    self._parts[process.pid] = _part(line)
                part = self._parts[process.pid]
                times = process.cpu_times()
                self._seconds[process.pid] = times.user + times.system
                self.highest[process.pid] = _peak_rss(process)
                if with_memory and part != "S3 endpoint":
                    held += process.memory_full_info().pss
        self.together = max(self.together, held)
        sums: defaultdict[str, float] = defaultdict(float)
        for pid, seconds in self._seconds.items():
            sums[self._parts[pid]] += seconds
        sums[ELSEWHERE] = _busy() - sum(self._seconds.values())
        self._series.append((time.time(), dict(sums)))

    def _tree(self) -> Iterator[psutil.Process]:
        for root in self._roots:
            with suppress(psutil.Error):
                yield root
                yield from root.children(recursive=True)


def _part(line: str) -> str:
    return next((part for text, part in PARTS if text in line), "other")


def _busy() -> float:
    """Return the CPU seconds of the whole machine, with what its host gave to others."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq + times.steal)


def _peak_rss(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split(maxsplit=1)[0]) * 1024


@contextmanager
def running(
    command: list[str], log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command, away from our terminal's Ctrl-C; end it and all below it on the way out."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        family = []
        with suppress(psutil.Error):
            family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        for left in (process, *family):
            with suppress(psutil.Error, ProcessLookupError):
                left.kill()
        process.wait()
