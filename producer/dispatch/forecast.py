"""When each batch will end at its present speed, and whether that is after its deadline."""

import time
from collections import deque
from dataclasses import replace

import structlog

from contract.batch import Progress
from contract.ledger import Ledger

log = structlog.get_logger(__name__)

SPAN_SECONDS = 300
"""The present speed is the average over this many seconds."""
MIN_SPAN_SECONDS = 30
"""No estimate is made from less: the first images of a batch also wait for workers to start."""
UPDATE_SECONDS = 10
"""Seconds between two estimates for a batch."""


class Speed:
    """Images that a batch settles per second, over the last SPAN_SECONDS."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        """(Unix seconds, settled images), oldest first"""

    def add(self, moment: float, settled: int) -> None:
        """Add an observation. If images were reopened, the earlier ones are dropped."""
        if self._points and settled < self._points[-1][1]:
            self._points.clear()
        self._points.append((moment, settled))
        while moment - self._points[0][0] > SPAN_SECONDS:
            self._points.popleft()

    def end(self, remaining: int) -> float | None:
        """Return when `remaining` images will be settled (Unix seconds), or None if unknown.

        If no image was settled within the span, the next one is assumed to be settled now, so that
        the estimate moves away while a batch stands still.
        """
        (first, before), (last, settled) = self._points[0], self._points[-1]
        span = last - first
        if span < MIN_SPAN_SECONDS:
            return None
        return last + remaining * span / max(1, settled - before)


class Forecasts:
    """The estimates for all open batches. Kept by the dispatcher that works, and lost with it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._speeds: dict[str, Speed] = {}
        self._due: dict[str, float] = {}

    def update(self, progress: Progress) -> None:
        """Store the estimate for a batch that may run, at most every UPDATE_SECONDS.

        Logs a warning if it falls behind its deadline.
        """
        spec, moment = progress.spec, time.time()
        if moment < spec.schedule.start or moment < self._due.get(spec.id, 0):
            return
        self._due[spec.id] = moment + UPDATE_SECONDS
        speed = self._speeds.setdefault(spec.id, Speed())
        speed.add(moment, progress.settled)
        eta = speed.end(spec.total - progress.settled)
        if eta is None:
            return
        self._ledger.batches.set_eta(spec.id, round(eta))
        late = replace(progress, eta=eta).late
        if late != progress.late:
            report = log.warning if late else log.info
            message = "batch will miss its deadline" if late else "batch is back in time"
            report(message, batch=spec.id, deadline=str(spec.schedule.deadline), eta=round(eta))

    def forget(self, batch: str) -> None:
        """Drop the observations of a batch that is not open any more."""
        self._speeds.pop(batch, None)
        self._due.pop(batch, None)
