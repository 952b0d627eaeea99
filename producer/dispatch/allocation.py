"""The window of each batch: its share of the fleet, within its cap and its throttle."""

import time
from collections import defaultdict

import structlog

from contract.batch import Progress, Snapshot
from producer.dispatch.fleet import FleetView
from producer.dispatch.shares import Claimant, shares
from producer.dispatch.throttle import Load, Throttle
from producer.dispatch.window import window_of

log = structlog.get_logger(__name__)


class Allocation:
    """Divides the workers of each queue among its batches, once per tick.

    The claims are those of the tick before, or what a new batch can use at most.
    """

    def __init__(self, fleet: FleetView, limit: int) -> None:
        """`limit`: most lines of a queue that are queued or in process."""
        self._fleet = fleet
        self._limit = limit
        self._queues: dict[str, str] = {}
        """of the batches that claim something"""
        self._claims: defaultdict[str, dict[str, Claimant]] = defaultdict(dict)
        """queue -> batch -> claim"""
        self._windows: dict[str, dict[str, int]] = {}
        """queue -> batch -> window, in this tick"""
        self._throttles: defaultdict[str, Throttle] = defaultdict(Throttle)

    def begin_tick(self) -> None:
        """Divide the fleet again."""
        self._windows.clear()

    def expect(self, progress: Progress, queue: str) -> None:
        """Note what a batch can use at most, before any batch is fed in the tick."""
        self._claim(progress, queue, progress.spec.total)

    def claim(self, snapshot: Snapshot, queue: str) -> None:
        """Note what a batch can use, and slow it down if its storage fails."""
        progress = snapshot.progress
        if self._may_run(progress):
            self._watch_storage(snapshot, queue)
        # lines that wait for a retry claim nothing until one is due
        waiting = 0 if snapshot.something_due else progress.deferred
        self._claim(progress, queue, progress.spec.total - progress.settled - waiting)

    def _claim(self, progress: Progress, queue: str, lines: int) -> None:
        spec, schedule = progress.spec, progress.spec.schedule
        if not self._may_run(progress):
            self.release(spec.id)
            return
        limits = (lines, schedule.cap, self.throttle(spec.id))
        limit = min(limit for limit in limits if limit is not None)
        self._queues[spec.id] = queue
        self._claims[queue][spec.id] = Claimant(limit, schedule.priority, schedule.weight)

    def _may_run(self, progress: Progress) -> bool:
        spec = progress.spec
        return progress.state == "open" and not spec.cutout and time.time() >= spec.schedule.start

    def release(self, batch: str) -> None:
        """Give a batch's share to the others from the next tick on."""
        self._claims[self._queues.pop(batch, "")].pop(batch, None)

    def forget(self, batch: str) -> None:
        """Drop what is known of a batch that is not open any more."""
        self.release(batch)
        self._throttles.pop(batch, None)

    def by_priority(self, batches: list[str]) -> list[str]:
        """Return the batches with those of higher priority first, else in the given order."""
        priorities = {
            batch: claim.priority
            for claims in self._claims.values()
            for batch, claim in claims.items()
        }
        return sorted(batches, key=lambda batch: -priorities.get(batch, 0))

    def window(self, batch: str) -> int:
        """Return how many lines of a batch may be queued or in process; 0 if it claims nothing."""
        queue = self._queues.get(batch, "")
        if queue not in self._windows:
            self._windows[queue] = shares(self._total(queue), self._claims[queue])
        return self._windows[queue].get(batch, 0)

    def is_outranked(self, batch: str) -> bool:
        """Return whether a batch gets nothing because batches of a higher priority need it all."""
        claims = self._claims[self._queues.get(batch, "")]
        claim = claims.get(batch)
        if claim is None or claim.limit == 0 or self.window(batch) > 0:
            return False
        return any(one.priority > claim.priority and one.limit > 0 for one in claims.values())

    def throttle(self, batch: str) -> int | None:
        """Return the limit of a batch whose storage fails, or None."""
        return self._throttles[batch].limit

    def _total(self, queue: str) -> int:
        return window_of(self._fleet.of(queue), len(self._claims[queue]), self._limit)

    def _watch_storage(self, snapshot: Snapshot, queue: str) -> None:
        """Slow a batch down if its storage fails, and speed it up if it does not."""
        progress = snapshot.progress
        batch = progress.spec.id
        throttle = self._throttles[batch]
        fleet = self._fleet.of(queue)
        load = Load(progress.settled, snapshot.storage_errors, progress.claimed, fleet.children)
        before = throttle.limit
        throttle.update(time.monotonic(), load, self._total(queue))
        if before is None and throttle.limit is not None:
            share = round(throttle.error_share, 2)
            log.warning("batch slowed down", batch=batch, limit=throttle.limit, errors=share)
        elif before is not None and throttle.limit is None:
            log.info("batch at full speed again", batch=batch)
