"""Circuit breaker: pause a batch when most recent attempts hit infrastructure errors.

One bad worker that fails fast makes most attempts. So each worker counts only up to its share, and
workers that have shown nothing yet are waited for.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import INFRASTRUCTURE_CODES, NEXT_STEP, ErrorCode
from contract.outcome import AttemptResult

MIN_RESULTS = 20
"""With fewer results the breaker never trips: a small batch uses up its retries instead."""
TRIP_SHARE = 0.8
"""Share of infrastructure errors among the recent results at which the breaker trips."""
FULL_RESULTS = 30
"""The latest results that count, spread evenly over the workers."""
MIN_RESULTS_PER_WORKER = 3
"""The latest results that count of each worker, however many there are."""
WAIT_SECONDS = 5
"""How long the breaker waits for results of workers that have none yet."""
RETRY_SECONDS = 60
MAY_RECOVER = frozenset(
    {
        ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL, ErrorCode.URL_UNAVAILABLE,
        ErrorCode.OUT_OF_MEMORY, ErrorCode.TIME_LIMIT, ErrorCode.RELEASE_MISMATCH,
    }
)  # fmt: skip
"""Errors that pass by themselves: the batch is resumed every RETRY_SECONDS. With any other code
(refused credentials, a missing bucket) each retry would only fail more images."""


TRIP_REASON = re.compile(r"\d+ of the last \d+ attempts failed with ")
"""How every reason of the breaker begins."""


@dataclass(frozen=True, slots=True)
class Tripped:
    """Why a batch must pause, and whether it may resume by itself."""

    reason: str
    may_recover: bool


def evaluate(recent_results: Sequence[AttemptResult], workers: int = 1) -> Tripped | None:
    """Return why a batch must pause, or None.

    `recent_results`: newest first. `workers`: how many serve the batch's queue.
    """
    codes = _counted(recent_results, workers)
    errors = Counter(code for code in codes if code in INFRASTRUCTURE_CODES)
    total = len(codes)
    if total < MIN_RESULTS or errors.total() < TRIP_SHARE * total:
        return None
    code, count = errors.most_common(1)[0]
    may_recover = ErrorCode(code) in MAY_RECOVER
    after = f"Retried every {RETRY_SECONDS} s." if may_recover else "`cutout resume` continues it."
    return Tripped(
        f"{count} of the last {total} attempts failed with {code}."
        f" {NEXT_STEP[ErrorCode(code)]} {after}",
        may_recover,
    )


def _counted(recent_results: Sequence[AttemptResult], workers: int) -> list[str]:
    """Return the codes that count: of each worker at most its share, if there are several."""
    if workers <= 1:
        return [result.code for result in recent_results]
    share = max(MIN_RESULTS_PER_WORKER, math.ceil(FULL_RESULTS / workers))
    seen: Counter[str] = Counter()
    codes = []
    for result in recent_results:
        seen[result.worker] += 1
        if seen[result.worker] <= share:
            codes.append(result.code)
    return codes


def is_trip(reason: str) -> bool:
    """Return whether a batch's stalled reason came from the circuit breaker."""
    return TRIP_REASON.match(reason) is not None


class CircuitBreaker:
    """Evaluates batches again and again, and remembers since when each would have tripped."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def check(
        self, batch: str, recent_results: Sequence[AttemptResult], workers: int, now: float
    ) -> Tripped | None:
        """Return why a batch must pause now, or None. `now`: seconds of a monotonic clock."""
        tripped = evaluate(recent_results, workers)
        if tripped is None:
            self._since.pop(batch, None)
            return None
        heard = {result.worker for result in recent_results}
        waited = now - self._since.setdefault(batch, now)
        if len(heard) < workers and waited < WAIT_SECONDS:
            return None
        self.forget(batch)
        return tripped

    def forget(self, batch: str) -> None:
        """Drop a batch that is not open any more."""
        self._since.pop(batch, None)
