"""Whether this worker fails where others succeed. No clock, no threads, no Celery.

A worker with refused credentials, a missing mount or broken memory fails faster than the others
work, and would spoil most attempts of every batch. After a few failures in a row it takes no more
images and compares itself with the others: if they succeed with the same batch, it stays out of
rotation for a while; if they fail too, the circuit breaker pauses the batch.
"""

from dataclasses import dataclass
from enum import StrEnum

from contract.errors import INFRASTRUCTURE_CODES, NEXT_STEP, REDIS_CODES, ErrorCode
from contract.ledger.records import RESULT_CRASH, RESULT_OK
from contract.names import CUTOUT_ID_PREFIX
from contract.outcome import AttemptResult

SUSPECT_FAILURES = 8
"""Failures in a row after which a worker compares itself with the others."""
RETURN_FAILURES = 2
"""The same after it was out of rotation, until its first success."""
MARGIN_SECONDS = 2
"""Results of others count from this long after the comparison began: an image stored just before
the storage failed for all is settled a moment later."""
COMPARE_SECONDS = 30
"""Longest comparison. If the others show nothing until then, this worker goes on."""
MIN_OTHERS = 3
"""Results of others after which the comparison ends early."""
SUCCESS_SHARE = 0.8
"""Share of successes among the results of others that makes this worker the outlier."""
OUT_SECONDS = 300
"""How long a worker stays out of rotation before it tries again."""

FAILURES = {*INFRASTRUCTURE_CODES, ErrorCode.EXHAUSTED, RESULT_CRASH} - REDIS_CODES
"""Results that may be this worker's fault. Without Redis, none takes images anyway."""
SUCCESSES = {RESULT_OK, *ErrorCode} - {*INFRASTRUCTURE_CODES, ErrorCode.EXHAUSTED}
"""Results of an image that went through, if only to be refused."""


class Standing(StrEnum):
    IN_ROTATION = "in rotation"
    COMPARING = "comparing"
    OUT = "out of rotation"


@dataclass(frozen=True, slots=True)
class Others:
    """What the ledger says about the others. Times are Unix seconds of its clock."""

    now: float
    running: int
    """other workers that take images from the same queue"""
    batch_open: bool
    results: list[AttemptResult]
    """latest results of the batch, newest first, this worker's among them"""


class OutlierCheck:
    """The standing of one worker. `record` is called by its main loop, `review` by its watchdog.

    Between the two, assignments are atomic and their order does not matter.
    """

    def __init__(self, worker: str) -> None:
        self.standing = Standing.IN_ROTATION
        self.reason = ""
        """why it is out of rotation, in a sentence; else empty"""
        self.batch = ""
        """the batch with the latest failure"""
        self._worker = worker
        self._code = ""
        self._failures = 0
        self._limit = SUSPECT_FAILURES
        self._since: float | None = None

    @property
    def takes_images(self) -> bool:
        return self.standing is Standing.IN_ROTATION

    def record(self, batch: str, result: str) -> None:
        """Note how an attempt at an image of a batch ended: an error code, `crash` or `ok`.

        Cutouts do not count: each is a batch of its own, without results of others to compare with.
        """
        if batch.startswith(CUTOUT_ID_PREFIX):
            return
        if result in SUCCESSES:
            self._failures, self._limit = 0, SUSPECT_FAILURES
            if self.standing is Standing.COMPARING:
                self._return(SUSPECT_FAILURES)
        if result not in FAILURES:
            return
        self._failures += 1
        self.batch, self._code = batch, result
        if self.takes_images and self._failures >= self._limit:
            self._since, self.standing = None, Standing.COMPARING

    def review(self, others: Others) -> None:
        """Compare this worker with the others, or let it return, if that is due."""
        if self._since is None:
            self._since = others.now
        elapsed = others.now - self._since
        if not others.running:
            self._return(RETURN_FAILURES if self.standing is Standing.OUT else SUSPECT_FAILURES)
        elif self.standing is Standing.OUT:
            if elapsed >= OUT_SECONDS:
                self._return(RETURN_FAILURES)
        elif self.standing is Standing.COMPARING:
            self._compare(others, elapsed)

    def _compare(self, others: Others, elapsed: float) -> None:
        results = [result for result in others.results if result.worker != self._worker]
        latest = {result.worker: result.code in FAILURES for result in reversed(results)}
        if not others.batch_open or (latest and all(latest.values())):
            self._return(SUSPECT_FAILURES)  # it is not this worker
            return
        begin = (self._since or 0) + MARGIN_SECONDS
        fresh = [result.code in FAILURES for result in results if result.time >= begin]
        if len(fresh) < MIN_OTHERS and elapsed < COMPARE_SECONDS:
            return
        if fresh and fresh.count(False) >= SUCCESS_SHARE * len(fresh):
            self._leave(others.now)
        else:
            self._return(SUSPECT_FAILURES)

    def _leave(self, now: float) -> None:
        next_step = f" {NEXT_STEP[ErrorCode(self._code)]}" if self._code in set(ErrorCode) else ""
        self.reason = (
            f"Its last {self._failures} attempts failed with {self._code}, where other workers"
            f" succeed.{next_step}"
        )
        self._since, self.standing = now, Standing.OUT

    def _return(self, limit: int) -> None:
        self._failures, self._limit, self.reason = 0, limit, ""
        self.standing = Standing.IN_ROTATION
