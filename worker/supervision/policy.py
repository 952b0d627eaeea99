"""When a worker counts as deaf or stuck. No clock, no threads, no Celery."""

from dataclasses import dataclass
from enum import StrEnum

from worker.supervision import heartbeat

WATCH_SECONDS = 10
"""Interval between two samples of a worker."""
DEAF_SECONDS = 120
"""A worker is deaf if it starts no task for this long while a message waits and a child is free. A
healthy worker takes such a message at once."""
STOP_GRACE_SECONDS = 10
"""How much longer than the time limit of an image an orderly stop may take."""


class Verdict(StrEnum):
    HEALTHY = "healthy"
    DEAF = "deaf"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """The state of a worker at one moment. Times are seconds of one monotonic clock."""

    time: float
    last_beat: float
    """when its main loop last ran"""
    stopping: bool
    queue_length: int | None
    """messages waiting in its queue; None if Redis does not reply"""
    free_children: int
    """children with a loaded model and no task; negative if busy ones have lost theirs"""
    started_tasks: int
    """tasks started since the worker started"""


class HealthPolicy:
    """Judges a worker from consecutive samples."""

    def __init__(self, stop_seconds: float) -> None:
        """`stop_seconds`: how long an orderly stop may take."""
        self._stop_seconds = stop_seconds
        self._last: WorkerSample | None = None
        self._redis_away = 0.0
        self._idle_since: float | None = None
        self._stopping_since: float | None = None

    def evaluate(self, sample: WorkerSample) -> Verdict:
        last, self._last = self._last, sample
        if sample.queue_length is None:
            # the main loop may be waiting for Redis too, on several connections in turn
            self._redis_away = sample.time
        if last is None or sample.time - last.time > 3 * WATCH_SECONDS:
            # the whole process was suspended (SIGSTOP, a sleeping laptop): the main loop needs a
            # moment to run again
            self._idle_since = None
            return Verdict.HEALTHY
        if sample.stopping:
            return self._evaluate_stop(sample)
        if sample.time - max(sample.last_beat, self._redis_away) > heartbeat.STALE_SECONDS:
            return Verdict.STUCK
        return self._evaluate_hearing(sample, last)

    def _evaluate_stop(self, sample: WorkerSample) -> Verdict:
        """Judge a worker that finishes its images. Its main loop sends no heartbeats any more."""
        if self._stopping_since is None:
            self._stopping_since = sample.time
        late = sample.time - self._stopping_since > self._stop_seconds
        return Verdict.STUCK if late else Verdict.HEALTHY

    def _evaluate_hearing(self, sample: WorkerSample, last: WorkerSample) -> Verdict:
        started = sample.started_tasks != last.started_tasks
        if not sample.queue_length or sample.free_children <= 0 or started:
            self._idle_since = None
            return Verdict.HEALTHY
        if self._idle_since is None:
            self._idle_since = sample.time
        deaf = sample.time - self._idle_since >= DEAF_SECONDS
        return Verdict.DEAF if deaf else Verdict.HEALTHY
