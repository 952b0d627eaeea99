"""Feeds batches to the workers and writes down how each image ended.

At most a window of a batch is in the broker at a time, so Redis stays small however large the
batch. Every step may be cut off anywhere and repeated: lines are marked issued before they are
published, and rows leave Redis only after they are in object storage.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import islice

import structlog

from contract import names
from contract.errors import CutoutError, ErrorCode
from contract.job import ManifestLine
from contract.ledger.batches import BatchSpec, Ledger, Progress
from contract.ledger.lines import Issue
from contract.ledger.workers import Presence
from contract.outcome import Outcome, Status
from contract.settings import Settings
from contract.storage import open_store
from contract.storage.batch_files import has_bit, manifest_lines
from producer.batches import reports
from producer.dispatch import cutouts
from producer.dispatch.breaker import TRIAL_SECONDS, judge
from producer.dispatch.publisher import GRACE_SECONDS, job_of, publish

log = structlog.get_logger(__name__)

CHUNK_LINES = 200
DRAIN_ROWS = 1000
LEASE_SECONDS = 15
TICK_SECONDS = 0.2
CANCELLED_LINES = 10_000
NO_QUARANTINE = (
    "Images that ended their process wait for a quarantine worker: `cutout worker --quarantine`."
)
NO_WORKER = "No worker serves {model}: `CUTOUT_MODEL={model} cutout worker`."
START_SECONDS = 30
"""In which the workers of a stack that has just been started say that they are there."""
REST_SECONDS = 10
"""How long a batch in trouble (its storage is down, say) is left alone."""


class Dispatcher:
    def __init__(self, ledger: Ledger, config: Settings) -> None:
        self._ledger = ledger
        self._presence = Presence(ledger.connection)
        self._config = config
        self._token = secrets.token_hex(8)
        self._resting: dict[str, float] = {}
        self._segment = lru_cache(maxsize=16)(manifest_lines)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until told to stop. Several may run: a lease says whose turn it is."""
        working = None
        while not stopping():
            try:
                mine = self._ledger.hold_lease(self._token, LEASE_SECONDS)
                if mine is not working:
                    working = mine
                    log.info("dispatching" if mine else "standing by: another dispatches")
                if mine:
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
                now = self._ledger.progress(batch)
                if now.spec.single:
                    cutouts.advance(self._ledger, now, self._config)
                else:
                    self._advance(now)
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

    def _advance(self, now: Progress) -> None:
        spec = now.spec
        if now.state == "cancelling":
            self._settle_cancelled(spec)
        elif now.state == "paused":
            if now.trial is not None and time.time() >= now.trial:
                self._ledger.resume(spec.id)
        elif trip := judge(self._ledger.endings(spec.id)):
            trial = time.time() + TRIAL_SECONDS if trip.heals else None
            self._ledger.pause(spec.id, trip.why, trial)
            log.error("batch pauses itself", batch=spec.id, why=trip.why)
        else:
            self._publish_due(spec)
            while self._publish_next(spec):
                self._ledger.hold_lease(self._token, LEASE_SECONDS)
            self._look_for_workers(now)
        if self._ledger.waiting_outcomes(spec.id) >= DRAIN_ROWS:
            reports.drain(self._ledger, spec)
        if self._ledger.progress(spec.id).settled >= spec.total:
            self._close(spec)

    def _publish_next(self, spec: BatchSpec) -> bool:
        """Publish the next chunk; return whether there may be room for another."""
        config = self._config
        issue = self._ledger.issue(spec.id, CHUNK_LINES, config.window, config.visibility_timeout)
        self._publish(spec, issue)
        return len(issue.bulk) == CHUNK_LINES

    def _publish_due(self, spec: BatchSpec) -> None:
        """Publish again what was lost or put back.

        A line is lost when it is due and its message cannot be waiting any more: issued before the
        oldest that waits. (On Redis, a worker killed between taking a message and noting that
        it has it loses it; the broker alone cannot promise delivery.)
        """
        model = spec.recipe.model
        queues = names.bulk_queue(model), names.quarantine_queue(model)
        bulk, quarantine = (self._ledger.oldest_waiting(queue) for queue in queues)
        issue = self._ledger.reissue(
            spec.id, CHUNK_LINES, self._config.visibility_timeout, GRACE_SECONDS, (bulk, quarantine)
        )
        self._publish(spec, issue)
        if lines := len(issue.bulk) + len(issue.quarantine):
            log.info("issued again", batch=spec.id, lines=lines)

    def _publish(self, spec: BatchSpec, issue: Issue) -> None:
        model = spec.recipe.model
        for queue, lines in (
            (names.bulk_queue(model), issue.bulk),
            (names.quarantine_queue(model), issue.quarantine),
        ):
            if lines:
                jobs = [job_of(spec, line, self._photograph(spec, line)) for line in lines]
                publish(queue, jobs, issue.moment)

    def _look_for_workers(self, now: Progress) -> None:
        """Say where images wait for workers and there are none."""
        model = now.spec.recipe.model
        there = {worker.queue for worker in self._presence.workers()}
        why = ""
        if now.quarantined and names.quarantine_queue(model) not in there:
            why = NO_QUARANTINE
        elif (
            names.bulk_queue(model) not in there and time.time() > now.spec.created + START_SECONDS
        ):
            why = NO_WORKER.format(model=model)
        known = {"", NO_QUARANTINE, NO_WORKER.format(model=model)}
        if why != now.trouble and now.trouble in known:
            self._ledger.note_trouble(now.spec.id, why)

    def _settle_cancelled(self, spec: BatchSpec) -> None:
        """Settle the next of what is left of a cancelled batch."""
        bits = self._ledger.settled_bits(spec.id)
        whole_bytes = len(bits) - len(bits.lstrip(b"\xff"))
        left = (line for line in range(8 * whole_bytes, spec.total) if not has_bit(bits, line))
        outcomes = [
            Outcome(
                line=line, key=self._photograph(spec, line).key, status=Status.FAILED,
                code=ErrorCode.CANCELLED, message="The batch was cancelled before its turn.",
                attempts=0,
            )
            for line in islice(left, CANCELLED_LINES)
        ]  # fmt: skip
        self._ledger.finish_all(spec.id, outcomes)

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
        if not self._ledger.close(spec.id):
            return  # a retry opened lines meanwhile
        log.info(
            "batch closed", batch=spec.id, done=progress.done, skipped=progress.skipped,
            failed=progress.failed,
        )  # fmt: skip
