"""Batches as a whole, in memory."""

from collections.abc import Callable, Iterable

from contract.batch import BatchSpec, Progress, Snapshot, stored_spec
from contract.ledger.memory.state import MemoryBatch, MemoryLine, MemoryState
from contract.ledger.records import (
    CLOSED_KEPT_SECONDS,
    DELETED_KEPT_SECONDS,
    REGISTERING_KEPT_SECONDS,
)
from contract.ledger.unreadable import OnUnreadable, leaving_out, log_unreadable
from contract.line_bits import has_bit, no_bits, set_bit
from contract.outcome import AttemptResult, Status


class MemoryBatches:
    """See `contract.ledger.protocol.Batches`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def register(self, spec: BatchSpec) -> None:
        self.restore(spec, b"", b"", dict.fromkeys(Status, 0))

    def restore(
        self,
        spec: BatchSpec,
        settled: bytes,
        failed: bytes,
        counts: dict[Status, int],
        epoch: int = 0,
    ) -> None:
        expires = self._state.clock() + REGISTERING_KEPT_SECONDS
        batch = MemoryBatch(spec, dict(counts), _line_set(settled), _line_set(failed), expires)
        batch.epoch = epoch
        self._state.add(batch)

    def open(self, batch: str) -> None:
        row = self._state.require(batch)
        if row.state == "registering":
            row.state, row.expires, row.stalled_reason = "open", None, ""

    def close(self, batch: str, epoch: int, lease_token: str) -> bool:
        row = self._state.find(batch)
        if (
            row is None
            or row.state == "closed"
            or sum(row.counts.values()) < row.spec.total
            or row.epoch != epoch
            or row.outcomes
            or not row.report_lease.held_by(lease_token, self._state.clock())
        ):
            return False
        self.discard(batch)
        if row.spec.has_callback:
            self._state.callbacks.append(f"{batch}:{epoch}")
        return True

    def discard(self, batch: str, kept: float = CLOSED_KEPT_SECONDS) -> None:
        row = self._state.find(batch)
        if row is None:
            return
        now = self._state.clock()
        row.state, row.closed, row.expires = "closed", now, now + kept
        for rest in (row.lines, row.outcomes, row.recent_results):
            rest.clear()

    def lease_report(self, batch: str, token: str, seconds: float) -> bool:
        row = self._state.require(batch)
        return row.report_lease.take(token, self._state.clock(), seconds)

    def renew_report(self, batch: str, token: str, seconds: float) -> bool:
        row = self._state.require(batch)
        now = self._state.clock()
        return row.report_lease.held_by(token, now) and row.report_lease.take(token, now, seconds)

    def release_report(self, batch: str, token: str) -> None:
        if row := self._state.find(batch):
            row.report_lease.release(token)

    def forget_closed(self, batch: str) -> bool:
        row = self._state.find(batch)
        if row and row.state != "closed":
            return False
        self.forget(batch)
        return True

    def mark_deleted(self, batch: str) -> None:
        self._state.deleted[batch] = self._state.clock() + DELETED_KEPT_SECONDS

    def forget(self, batch: str) -> None:
        self._state.remove(batch)
        self.mark_deleted(batch)

    def was_deleted(self, batch: str) -> bool:
        return self._state.deleted.get(batch, 0) > self._state.clock()

    def pause(self, batch: str, reason: str) -> bool:
        row = self._state.find(batch)
        if row is None or row.state not in {"open", "paused"}:
            return False
        row.state, row.stalled_reason, row.retry_at = "paused", reason, None
        return True

    def trip(self, batch: str, reason: str, retry_at: float | None) -> bool:
        row = self._state.find(batch)
        if row is None or row.state != "open":
            return False
        row.state, row.stalled_reason, row.retry_at = "paused", reason, retry_at
        return True

    def cancel(self, batch: str) -> bool:
        row = self._state.find(batch)
        if row is None or row.state not in {"open", "paused"}:
            return False
        row.state, row.stalled_reason, row.retry_at = "cancelling", "", None
        return True

    def reschedule(self, batch: str, change: Callable[[BatchSpec], BatchSpec]) -> BatchSpec | None:
        row = self._state.find(batch)
        if row is None:
            return None
        current = None
        while current is not row.spec:
            current = row.spec
            spec = change(current)
        if row.state not in {"open", "paused"}:
            return None
        row.spec = spec
        return spec

    def resume(self, batch: str) -> int:
        row = self._state.find(batch)
        if row is None or row.state != "paused":
            return 0
        row.state, row.stalled_reason, row.retry_at = "open", "", None
        return self._recall(row, {"issued", "quarantined", "deferred"})

    def resume_tripped(self, batch: str) -> int:
        row = self._state.find(batch)
        return 0 if row is None or row.retry_at is None else self.resume(batch)

    def reset_messages(self, *queues: str) -> None:
        for queue in queues:
            self._state.queues.pop(queue, None)
        self._state.unacknowledged.clear()
        self._state.shared_settings = ({}, 0)
        for batch in self.open_ids():
            row = self._state.require(batch)
            for line in row.lines.values():
                line.token, line.crash_count = "", 0
            self._recall(row, {"issued", "quarantined", "deferred", "claimed"})

    def _recall(self, row: MemoryBatch, sets: set[str]) -> int:
        """Mark the lines of some sets for republishing at once; return how many."""
        for line in row.lines.values():
            line.retries = 0
            if line.where in sets:
                line.move("deferred", self._state.clock())
        row.recent_results.clear()
        return len(row.outstanding("deferred"))

    def reopen(self, batch: str, lines: Iterable[int], crash_causes: str = "") -> int:
        row = self._state.find(batch)
        if row is None or row.state == "cancelling":
            return 0
        opened = 0
        for line in row.failed.intersection(lines):
            opened += 1
            row.failed.remove(line)
            row.settled.remove(line)
            row.cursor = min(row.cursor, line)
            if crash_causes:
                row.lines[line] = MemoryLine(crash_count=1, crash_causes=crash_causes)
        if opened:
            row.counts[Status.FAILED] -= opened
            row.epoch += 1
            row.expires = None
            if row.state == "closed":
                row.state, row.closed, row.eta = "open", None, None
        return opened

    def reopen_unreported(
        self, batch: str, epoch: int, counts: dict[Status, int] | None, lines: Iterable[int]
    ) -> bool:
        row = self._state.find(batch)
        if row is None or row.state == "closed" or row.epoch != epoch:
            return False
        row.counts = dict(counts or row.counts)
        for line in lines:
            row.counts[Status.DONE] -= line in row.settled
            row.settled.discard(line)
            row.failed.discard(line)
            row.cursor = min(row.cursor, line)
        row.epoch += 1
        return True

    def set_stalled_reason(self, batch: str, reason: str) -> None:
        row = self._state.find(batch)
        if row and row.state != "paused":
            row.stalled_reason = reason

    def set_eta(self, batch: str, eta: float) -> None:
        if row := self._state.find(batch):
            row.eta = eta

    def open_ids(self) -> list[str]:
        return sorted(
            row.spec.id
            for row in self._state.all()
            if row.state not in {"registering", "closed", "failed"}
        )

    def ids(self) -> list[str]:
        specs = [r.spec for r in self._state.all() if r.spec.cutout is None]
        known = sorted(((s.created, s.id) for s in specs), reverse=True)
        return [batch for _, batch in known]

    def exists(self, batch: str) -> bool:
        return self._state.find(batch) is not None

    def progress(self, batch: str) -> Progress:
        row = self._state.require(batch)
        return Progress(
            spec=stored_spec(batch, row.spec.model_dump_json()),  # as if Redis had stored it
            state=row.state,
            done=row.counts[Status.DONE],
            skipped=row.counts[Status.SKIPPED],
            failed=row.counts[Status.FAILED],
            issued=len(row.outstanding()),
            quarantined=len(row.outstanding("quarantined")),
            claimed=len(row.outstanding("claimed")),
            deferred=len(row.outstanding("deferred")),
            duplicates=row.duplicates,
            epoch=row.epoch,
            closed=row.closed,
            stalled_reason=row.stalled_reason,
            retry_at=row.retry_at,
            eta=row.eta,
        )

    def progress_of(
        self, batches: Iterable[str], on_unreadable: OnUnreadable = log_unreadable
    ) -> list[Progress]:
        found = []
        for batch in filter(self.exists, batches):
            with leaving_out(batch, on_unreadable):
                found.append(self.progress(batch))
        return found

    def snapshot(self, batch: str, queues: tuple[str, str]) -> Snapshot:
        row = self._state.require(batch)
        first, second = (next(iter(self._state.queues.get(queue, [])), "") for queue in queues)
        return Snapshot(
            progress=self.progress(batch),
            recent_results=list(row.recent_results),
            undrained=len(row.outcomes),
            all_issued=row.cursor >= row.spec.total,
            storage_errors=row.storage_errors,
            something_due=any(line.due < self._state.clock() for _, line in row.outstanding()),
            oldest_queued=(first, second),
        )

    def recent_results(self, batch: str) -> list[AttemptResult]:
        row = self._state.find(batch)
        return list(row.recent_results) if row else []

    def settled_bits(self, batch: str) -> bytes:
        row = self._state.find(batch)
        return _bits(row.settled if row else set())

    def failed_bits(self, batch: str) -> bytes:
        row = self._state.find(batch)
        return _bits(row.failed if row else set())

    def settled_counts(self) -> dict[Status, int]:
        return dict(self._state.settled_counts)


def _bits(lines: set[int]) -> bytes:
    bits = no_bits(max(lines, default=-1) + 1)
    for line in lines:
        set_bit(bits, line)
    return bytes(bits)


def _line_set(bits: bytes) -> set[int]:
    """Return the lines whose bit is set."""
    return {line for line in range(8 * len(bits)) if has_bit(bits, line)}
