"""Circuit breaker: pause a batch when most recent attempts hit infrastructure errors."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import INFRASTRUCTURE_CODES, NEXT_STEP, ErrorCode

MIN_RESULTS = 20
"""With fewer results the breaker never trips: a small batch uses up its retries instead."""
TRIP_SHARE = 0.8
"""Share of infrastructure errors among the recent results at which the breaker trips."""
RETRY_SECONDS = 60
MAY_RECOVER = frozenset(
    {
        ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.URL_UNAVAILABLE, ErrorCode.OUT_OF_MEMORY,
        ErrorCode.TIME_LIMIT,
    }
)  # fmt: skip
"""Errors that pass by themselves: the batch is resumed every RETRY_SECONDS. With any other code
(refused credentials, a missing bucket) each retry would only fail more images."""


@dataclass(frozen=True, slots=True)
class Tripped:
    """Why a batch must pause, and whether it may resume by itself."""

    reason: str
    may_recover: bool


def evaluate(recent_results: Sequence[str]) -> Tripped | None:
    """Return why a batch must pause, or None. `recent_results`: error codes or `ok`."""
    errors = Counter(code for code in recent_results if code in INFRASTRUCTURE_CODES)
    total = len(recent_results)
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
