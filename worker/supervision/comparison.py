"""Compares this worker with the others that serve its queue, while `outlier.py` has a reason to."""

import time

import structlog

from contract.errors import REDIS_CODES, CutoutError, ErrorCode
from contract.ledger.batches import RedisBatches
from contract.ledger.connection import Connection
from contract.ledger.workers import WorkerRegistry
from worker.supervision.outlier import Others, OutlierCheck, Standing

log = structlog.get_logger(__name__)

REVIEW_SECONDS = 1
"""Interval between two looks at the others."""


class Comparison:
    """Reads what the others do from Redis, and reviews the worker's standing."""

    def __init__(self, check: OutlierCheck, connection: Connection, name: str, queue: str) -> None:
        self._check = check
        self._batches = RedisBatches(connection)
        self._registry = WorkerRegistry(connection)
        self._name = name
        self._queue = queue

    def review_if_due(self) -> bool:
        """Review the standing unless the worker is in rotation; return whether it changed.

        Does nothing while Redis is away: nobody takes images meanwhile.
        """
        before = self._check.standing
        if before is Standing.IN_ROTATION:
            return False
        try:
            self._check.review(self._others())
        except CutoutError as error:
            if error.code not in REDIS_CODES:
                raise
            return False
        after = self._check.standing
        if after is before:
            return False
        if after is Standing.OUT:
            log.error("worker is out of rotation", reason=self._check.reason)
        else:
            log.info("worker is in rotation again", before=before)
        return True

    def _others(self) -> Others:
        batch = self._check.batch
        running = [
            worker
            for worker in self._registry.list()
            if worker.queue == self._queue
            and worker.name != self._name
            and not worker.out_of_rotation
        ]
        return Others(
            now=time.time() - self._registry.clock_skew(),
            running=len(running),
            batch_open=self._is_open(batch),
            results=self._batches.recent_results(batch),
        )

    def _is_open(self, batch: str) -> bool:
        try:
            return self._batches.progress(batch).state == "open"
        except CutoutError as error:
            if error.code in {ErrorCode.BATCH_UNKNOWN, ErrorCode.NEWER_RELEASE}:
                return False
            raise
