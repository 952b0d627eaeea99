"""Metrics of open batches: progress, speed, end, state, and why one makes no progress."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from contract import metrics
from contract.batch import Progress, State
from contract.exposition import family
from producer.dispatch.reasons import kind_of

MAX_BATCHES = 100
"""Batches with series of their own: those of the highest priority, then the oldest. Each has about
15 series."""
STATES: tuple[State, ...] = ("registering", "open", "paused", "cancelling")


def batch_metrics(open_batches: Sequence[Progress], now: float) -> Iterator[Metric]:
    """Yield the families of batches; cutouts among `open_batches` are left out.

    `now`: Unix seconds.
    """
    batches = [progress for progress in open_batches if progress.spec.cutout is None]
    batches.sort(key=lambda one: (-one.spec.schedule.priority, one.spec.created))
    states = Counter(progress.state for progress in batches)
    by_state = family(metrics.OPEN_BATCHES)
    for state in STATES:
        by_state.add_metric([state], states[state])
    yield by_state
    yield from _counts(batches[:MAX_BATCHES])
    yield from _times(batches[:MAX_BATCHES], now)
    yield from _states(batches[:MAX_BATCHES])


def _counts(batches: Sequence[Progress]) -> Iterator[Metric]:
    images, total = family(metrics.BATCH_IMAGES), family(metrics.BATCH_TOTAL)
    remaining, duplicates = family(metrics.BATCH_REMAINING), family(metrics.BATCH_DUPLICATES)
    for progress in batches:
        batch = progress.spec.id
        for status in ("done", "skipped", "failed", "issued"):
            images.add_metric([batch, status], getattr(progress, status))
        total.add_metric([batch], progress.spec.total)
        remaining.add_metric([batch], progress.spec.total - progress.settled)
        duplicates.add_metric([batch], progress.duplicates)
    yield from (images, total, remaining, duplicates)


def _times(batches: Sequence[Progress], now: float) -> Iterator[Metric]:
    speed, eta = family(metrics.BATCH_SPEED), family(metrics.BATCH_ETA)
    deadline = family(metrics.BATCH_DEADLINE)
    for progress in batches:
        batch = progress.spec.id
        if progress.state == "open" and progress.eta is not None:
            eta.add_metric([batch], progress.eta)
            # at most 10 s old: see `forecast.UPDATE_SECONDS`
            seconds = max(1.0, progress.eta - now)
            speed.add_metric([batch], (progress.spec.total - progress.settled) / seconds)
        if end := progress.spec.schedule.deadline:
            deadline.add_metric([batch], end.timestamp())
    yield from (speed, eta, deadline)


def _states(batches: Sequence[Progress]) -> Iterator[Metric]:
    state, stalled = family(metrics.BATCH_STATE), family(metrics.BATCH_STALLED)
    for progress in batches:
        state.add_metric([progress.spec.id, progress.state], 1)
        if progress.stalled_reason:
            kind = kind_of(progress.state, progress.stalled_reason)
            stalled.add_metric([progress.spec.id, kind], 1)
    yield from (state, stalled)
