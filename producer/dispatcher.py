"""Feeds batches to the workers and writes down how each image ended.

At most a window of a batch is in the broker at a time, so Redis stays small however large the
batch. Every step may be cut off anywhere and repeated: lines are marked issued before they are
published, and rows leave Redis only after they are in object storage.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import structlog

from contract import names
from contract.errors import CutoutError, ErrorCode
from contract.job import CutoutJob, ManifestLine
from contract.ledger import BatchSpec, Ledger
from contract.settings import Settings
from contract.storage import open_store
from producer import reports
from producer.batches import manifest_lines
from producer.publish import publish

log = structlog.get_logger(__name__)

CHUNK_LINES = 200
DRAIN_ROWS = 1000
LEASE_SECONDS = 15
TICK_SECONDS = 0.2
GRACE_SECONDS = 2
"""From a worker's taking a message to its claim of the line: in neither place, and not lost."""
REST_SECONDS = 10
"""How long a batch in trouble (its storage is down, say) is left alone."""


class Dispatcher:
    def __init__(self, ledger: Ledger, config: Settings) -> None:
        self._ledger = ledger
        self._config = config
        self._token = secrets.token_hex(8)
        self._resting: dict[str, float] = {}
        self._segment = lru_cache(maxsize=16)(manifest_lines)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until told to stop. Several may run: a lease says whose turn it is."""
        while not stopping():
            try:
                if self._ledger.hold_lease(self._token, LEASE_SECONDS):
                    self.tick()
            except CutoutError as error:
                log.warning("dispatcher waits", why=str(error))
                time.sleep(1)
            time.sleep(TICK_SECONDS)
        try:
            self._ledger.drop_lease(self._token)
        except CutoutError:
            log.info("lease left to expire")

    def tick(self) -> None:
        """Move every open batch one step on. A batch in trouble does not hold up the others."""
        for batch in self._ledger.open_batches():
            if time.monotonic() < self._resting.get(batch, 0):
                continue
            try:
                self._advance(self._ledger.progress(batch).spec)
            except Exception as error:
                if isinstance(error, CutoutError) and error.code is ErrorCode.REDIS_UNAVAILABLE:
                    raise
                why = str(error) if isinstance(error, CutoutError) else type(error).__name__
                log.error("batch rests", batch=batch, why=why)  # noqa: TRY400 - one sentence says it
                self._ledger.note_trouble(batch, why)
                self._resting[batch] = time.monotonic() + REST_SECONDS
            else:
                if self._resting.pop(batch, None):
                    self._ledger.note_trouble(batch, "")

    def _advance(self, spec: BatchSpec) -> None:
        self._publish_due(spec)
        while self._publish_next(spec):
            self._ledger.hold_lease(self._token, LEASE_SECONDS)
        if self._ledger.waiting_outcomes(spec.id) >= DRAIN_ROWS:
            reports.drain(self._ledger, spec)
        if self._ledger.progress(spec.id).settled >= spec.total:
            self._close(spec)

    def _publish_next(self, spec: BatchSpec) -> bool:
        """Publish the next chunk; return whether there may be room for another."""
        now = time.time()
        lines = self._ledger.issue(
            spec.id, CHUNK_LINES, self._config.window, now + self._config.visibility_timeout
        )
        if lines:
            publish(self._jobs(spec, lines), now)
        return len(lines) == CHUNK_LINES

    def _publish_due(self, spec: BatchSpec) -> None:
        """Publish again what was lost or put back.

        A line is lost when it is due and its message cannot be waiting any more: issued before the
        oldest that waits. (On Redis, a worker killed between taking a message and noting that
        it has it loses it; the broker alone cannot promise delivery.)
        """
        now = time.time()
        oldest = self._ledger.oldest_waiting(names.bulk_queue(spec.recipe.model))
        timeout = self._config.visibility_timeout
        before = (now if oldest is None else min(now, oldest + timeout)) - GRACE_SECONDS
        lines = self._ledger.reissue(spec.id, before, now + timeout, CHUNK_LINES)
        if lines:
            publish(self._jobs(spec, lines), now)
            log.info("issued again", batch=spec.id, lines=len(lines))

    def _jobs(self, spec: BatchSpec, lines: Sequence[int]) -> list[CutoutJob]:
        return [
            CutoutJob(
                batch=spec.id,
                line=line,
                source=spec.source,
                destination=spec.destination,
                photograph=self._photograph(spec, line),
                recipe=spec.recipe,
                force=spec.force,
            )
            for line in lines
        ]

    def _photograph(self, spec: BatchSpec, line: int) -> ManifestLine:
        segment, offset = divmod(line, spec.segment_lines)
        return self._segment(spec, segment)[offset]

    def _close(self, spec: BatchSpec) -> None:
        while reports.drain(self._ledger, spec):
            self._ledger.hold_lease(self._token, LEASE_SECONDS)
        progress = self._ledger.progress(spec.id)
        closed = replace(progress, state="closed", closed=time.time(), issued=0)
        rows = reports.write(closed, open_store(spec.destination))
        if rows != spec.total:  # Redis lost rows that were not yet drained; the outputs are there
            log.error("report is short", batch=spec.id, rows=rows, total=spec.total)
        self._ledger.close(spec.id)
        log.info(
            "batch closed", batch=spec.id, done=progress.done, skipped=progress.skipped,
            failed=progress.failed,
        )  # fmt: skip
