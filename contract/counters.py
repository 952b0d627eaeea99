"""What this process has counted since it started. Exported at `/metrics`; see `metrics.py`."""

import os
import threading
from bisect import bisect_left

from contract.metrics import MetricSpec

Series = tuple[str, tuple[str, ...]]
"""A metric's name, and the values of its labels."""
Rows = dict[Series, list[float]]
"""Of a counter: its value. Of a histogram: the observations in each bucket, those above the last
bound, and their sum."""


class Counters:
    """Counters and histograms. Threads may share them; a forked process begins at zero."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: Rows = {}

    def add(self, spec: MetricSpec, *labels: str, amount: float = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._rows.setdefault((spec.name, labels), [0.0])[0] += amount

    def observe(self, spec: MetricSpec, seconds: float, *labels: str) -> None:
        """Add an observation to a histogram."""
        bucket = bisect_left(spec.buckets, seconds)
        with self._lock:
            row = self._rows.setdefault((spec.name, labels), [0.0] * (len(spec.buckets) + 2))
            row[bucket] += 1
            row[-1] += seconds

    def rows(self) -> Rows:
        """Return a copy of all series."""
        with self._lock:
            return {series: list(values) for series, values in self._rows.items()}

    def restore(self, rows: Rows) -> None:
        """Continue from the counts of an earlier process."""
        with self._lock:
            self._rows = {series: list(values) for series, values in rows.items()}

    def begin_at_zero(self) -> None:
        """Forget everything, also a lock that another thread held when this process was forked."""
        self._lock = threading.Lock()
        self._rows = {}


counters = Counters()
os.register_at_fork(after_in_child=counters.begin_at_zero)


def total(parts: list[Rows]) -> Rows:
    """Return the sums of several processes' counts."""
    sums: Rows = {}
    for rows in parts:
        for series, values in rows.items():
            before = sums.get(series)
            sums[series] = (
                [a + b for a, b in zip(before, values, strict=True)] if before else values
            )
    return sums
