"""Feeds batches to the workers, collects outcomes, and closes finished batches.

At most a window of a batch is in the broker at a time (see `allocation.py`), so Redis stays small
however large the batch. Every step can be interrupted anywhere and repeated: lines are marked
issued before they are published, and outcome rows are deleted from Redis after they are in object
storage.

In one tick each batch publishes a few hundred lines at most, so neither a batch of ten million
lines nor workers faster than the dispatcher hold up the others. Reports are written beside the
loop: see `closing.py`.

An idle tick costs one Redis round trip per open batch, and three for all of them together.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from contract import names
from contract.batch import Progress, Snapshot
from contract.counters import counters
from contract.errors import REDIS_CODES, CutoutError, ErrorCode
from contract.ledger import Ledger
from contract.ledger.shared_settings import SharedSettings
from contract.ledger.unreadable import log_unreadable
from contract.metrics import BREAKER_TRIPS
from contract.settings import Settings
from contract.storage import open_store
from contract.stored import is_newer_release
from producer.batches.drain import drain
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch import cutouts, reasons
from producer.dispatch.allocation import Allocation
from producer.dispatch.breaker import RETRY_SECONDS, CircuitBreaker, Tripped
from producer.dispatch.closing import BatchCloser
from producer.dispatch.fleet import FleetView
from producer.dispatch.forecast import Forecasts
from producer.dispatch.line_publisher import LinePublisher
from producer.dispatch.publisher import queues_of

log = structlog.get_logger(__name__)

LEASE_SECONDS = 15
"""After this a standby dispatcher takes over from one that died."""
ALIVE_SECONDS = 60
"""A step takes less than this, also one that waits for Redis or for storage in vain. A round of the
loop takes one step for each batch."""
DRAIN_ROWS = 1000
"""Outcome rows that make a segment in object storage worth writing."""
TICK_SECONDS = 0.2
BACKOFF_SECONDS = 10
"""How long a batch is left alone after an error in its step, such as unreachable storage."""
DELETED = "Its files at the destination were deleted, so it has no report."


class Dispatcher:
    """One step for every open batch per tick. Several may run: a lease says which one works.

    `run` ends with `stop`; after `tick` alone, call `stop`.
    """

    def __init__(self, ledger: Ledger, callbacks: CallbackSchedule, config: Settings) -> None:
        self._ledger = ledger
        self._callbacks = callbacks
        self._config = config
        self._token = secrets.token_hex(8)
        self._backing_off: dict[str, float] = {}
        self._queues: dict[str, tuple[str, str]] = {}
        self._fleet = FleetView()
        self._allocation = Allocation(self._fleet, config.window)
        self._breaker = CircuitBreaker()
        self._lines = LinePublisher(ledger, config)
        self._closer = BatchCloser(ledger)
        self._forecasts = Forecasts(ledger)
        self._shared_settings = SharedSettings(ledger.workers, config)
        self._lease_taken = time.monotonic(), time.time()
        self._last_step = time.monotonic()
        self._leading: bool | None = None
        """None: not known"""

    def run(self, stopping: Callable[[], bool]) -> None:
        """Work until `stopping` returns True."""
        while not stopping():
            self._last_step = time.monotonic()
            busy = False
            try:
                self._shared_settings.renew()
                leading = self._acquire_lease()
                if leading is not self._leading:
                    self._leading = leading
                    log.info("dispatching" if leading else "standing by: another dispatches")
                if leading:
                    busy = self.tick()
            except CutoutError as error:
                log.warning("dispatcher waits", reason=str(error))
                self._leading = None
                time.sleep(1)
            if not busy:
                time.sleep(TICK_SECONDS)
        self._leading = None
        try:
            # before a report is finished, which has a lease of its own
            self._ledger.release_lease(self._token)
        except CutoutError:
            log.info("lease left to expire")
        self.stop()
        log.info("dispatcher stopped")

    def is_alive(self) -> bool:
        """Return whether the loop of `run` goes on, also while it stands by or waits for Redis.

        May be called by another thread.
        """
        return time.monotonic() - self._last_step < ALIVE_SECONDS

    def is_leading(self) -> bool:
        """Return whether this dispatcher is the one at work. May be called by another thread."""
        return bool(self._leading)

    def _acquire_lease(self) -> bool:
        # before the call: the lease lasts from a moment after it
        self._lease_taken = time.monotonic(), time.time()
        return self._ledger.acquire_lease(self._token, LEASE_SECONDS)

    def _still_leads(self) -> bool:
        """Renew the lease if a tick takes long; return whether it is still held.

        A process that was frozen finds another dispatcher at work, and knows nothing of what that
        one has done. (Of a machine that was suspended, only the wall clock went on.)
        """
        monotonic, wall = self._lease_taken
        elapsed = max(time.monotonic() - monotonic, time.time() - wall)
        return elapsed < LEASE_SECONDS / 3 or self._acquire_lease()

    def stop(self) -> None:
        """Wait for the report that is being written; close no further batch."""
        self._closer.stop()

    def tick(self) -> bool:
        """Advance every open batch by one step; return True if one has more to publish at once.

        Higher priorities come first: a queue is first in, first out. An error in one batch does not
        hold up the others.
        """
        busy = False
        open_ids = self._ledger.batches.open_ids()
        self._begin_tick(open_ids)
        for batch in self._allocation.by_priority(open_ids):
            self._last_step = time.monotonic()
            if self._last_step < self._backing_off.get(batch, 0):
                continue
            try:
                snapshot = self._snapshot(batch)
                if not self._still_leads():
                    return False
                busy |= self._advance(snapshot)
            except Exception as error:
                if isinstance(error, CutoutError) and error.code in REDIS_CODES:
                    raise
                if self._is_deleted(batch, error):
                    log.warning("cancelled batch discarded", batch=batch)
                    self._ledger.batches.set_stalled_reason(batch, DELETED)
                    self._ledger.batches.discard(batch)
                    continue
                self._back_off(batch, error)
            else:
                # a batch that is being closed keeps its reason until it is closed
                if not self._closer.is_pending(batch) and self._backing_off.pop(batch, 0):
                    self._ledger.batches.set_stalled_reason(batch, "")
        return busy

    def _back_off(self, batch: str, error: Exception) -> None:
        """Leave a batch alone for a while after an error in its step, and say why."""
        if is_newer_release(error):
            # nothing of it was changed: a dispatcher that can read it goes on with it
            log_unreadable(batch, error)
            reason = reasons.OLDER_RELEASE
        else:
            reason = str(error) if isinstance(error, CutoutError) else type(error).__name__
            log.error("batch backing off", batch=batch, reason=reason)
        self._ledger.batches.set_stalled_reason(batch, reason)
        self._backing_off[batch] = time.monotonic() + BACKOFF_SECONDS
        self._allocation.release(batch)

    def _is_deleted(self, batch: str, error: Exception) -> bool:
        """Return whether a cancelled batch cannot go on, as its files were deleted."""
        if not isinstance(error, CutoutError) or error.code is not ErrorCode.OBJECT_MISSING:
            return False
        progress = self._ledger.batches.progress(batch)
        if progress.state != "cancelling":
            return False
        with suppress(CutoutError):
            return open_store(progress.spec.destination).head(names.spec_key(batch)) is None
        return False

    def _begin_tick(self, open_ids: list[str]) -> None:
        """Forget batches that are not open any more, and divide the fleet among those that are."""
        for batch in (self._queues.keys() | self._backing_off.keys()) - set(open_ids):
            self._queues.pop(batch, None)
            self._fleet.forget(batch)
            self._allocation.forget(batch)
            self._breaker.forget(batch)
            self._closer.forget(batch)
            self._backing_off.pop(batch, None)
            self._forecasts.forget(batch)
            self._lines.forget(batch)
        if open_ids:
            self._fleet.update(self._ledger.workers.list(), time.monotonic())
            self._allocation.begin_tick()
        now = time.monotonic()
        for batch in set(open_ids) - self._queues.keys():
            if now >= self._backing_off.get(batch, 0):
                with suppress(Exception):  # its own step reports the error
                    self._expect(batch)

    def _expect(self, batch: str) -> None:
        """Read a batch that is new to this dispatcher, so that its claim counts at once."""
        progress = self._ledger.batches.progress(batch)
        self._queues[batch] = queues_of(progress.spec)
        self._allocation.expect(progress, self._queues[batch][0])
        reason = progress.stalled_reason
        if reason and reasons.kind_of(progress.state, reason) == "other":
            # an error of a dispatcher that may have died since: a step that succeeds clears it
            self._backing_off.setdefault(batch, time.monotonic())

    def _snapshot(self, batch: str) -> Snapshot:
        if batch not in self._queues:
            self._expect(batch)
        queue, _ = queues = self._queues[batch]
        snapshot = self._ledger.batches.snapshot(batch, queues)
        self._fleet.observe(batch, queue, snapshot.progress.settled)
        self._allocation.claim(snapshot, queue)
        return snapshot

    def _advance(self, snapshot: Snapshot) -> bool:
        """Do what the batch's state asks for; return True if it has more to publish at once."""
        progress = snapshot.progress
        spec = progress.spec
        if spec.cutout:
            cutouts.advance(self._ledger, self._callbacks, snapshot, self._config)
            return False
        if self._closer.is_closing(spec.id):
            return False
        if progress.settled >= spec.total and progress.state != "closed":
            self._closer.close(spec)
            return False
        self._forecasts.update(progress)
        if snapshot.undrained >= DRAIN_ROWS:
            drain(self._ledger, spec)
        more = False
        match progress.state:
            case "open":
                more = self._feed(snapshot)
            case "paused":
                self._resume_if_due(progress)
            case "cancelling":
                more = self._lines.settle_cancelled(spec)
                reasons.report_cancelling(self._ledger, progress, self._config.visibility_timeout)
            case "registering" | "closed" | "failed":
                pass  # opened by `submit`, or closed since `open_ids`
        return more

    # one method per state

    def _feed(self, snapshot: Snapshot) -> bool:
        """Pause the batch if the circuit breaker says so; else publish lines if there is room.

        Returns True if there may be more to publish at once.
        """
        progress = snapshot.progress
        spec = progress.spec
        if tripped := self._tripped(snapshot):
            retry_at = time.time() + RETRY_SECONDS if tripped.may_recover else None
            # an operator may have paused it since it was read: then it stays so
            if self._ledger.batches.trip(spec.id, tripped.reason, retry_at):
                counters.add(BREAKER_TRIPS)
                log.error("batch paused by circuit breaker", batch=spec.id, reason=tripped.reason)
            return False
        reasons.report(self._ledger, progress, self._fleet, self._allocation, time.time())
        if time.time() < spec.schedule.start:
            return False
        self._lines.publish_left(spec)
        window = self._allocation.window(spec.id)
        more = False
        if snapshot.something_due:
            more = self._lines.republish(spec, snapshot.oldest_queued, window)
        if (
            progress.active < window and progress.issued < self._config.window
            and not snapshot.all_issued
        ):  # fmt: skip
            more |= self._lines.publish_next(spec, window)
        return more

    def _tripped(self, snapshot: Snapshot) -> Tripped | None:
        """Return why a batch must pause. Workers out of rotation do not count."""
        batch = snapshot.progress.spec.id
        queue, _ = self._queues[batch]
        out = self._fleet.out_of_rotation
        results = [result for result in snapshot.recent_results if result.worker not in out]
        return self._breaker.check(batch, results, self._fleet.of(queue).workers, time.monotonic())

    def _resume_if_due(self, progress: Progress) -> None:
        if progress.retry_at is not None and time.time() >= progress.retry_at:
            self._ledger.batches.resume_tripped(progress.spec.id)
