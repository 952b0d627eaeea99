"""What a ledger does with whole batches."""

from collections.abc import Callable, Iterable
from typing import Protocol

from contract.batch import BatchSpec, Progress, Snapshot
from contract.ledger.records import CLOSED_KEPT_SECONDS
from contract.ledger.unreadable import OnUnreadable, log_unreadable
from contract.outcome import AttemptResult, Status


class Batches(Protocol):
    """Batches as a whole: registering, open, paused, cancelling, closed, failed."""

    def register(self, spec: BatchSpec) -> None:
        """Store a new batch. None of its lines is issued before `open`."""
        ...

    def restore(
        self,
        spec: BatchSpec,
        settled: bytes,
        failed: bytes,
        counts: dict[Status, int],
        epoch: int = 0,
    ) -> None:
        """Store a batch some of whose lines are settled already.

        `settled` and `failed`: one bit per line, as of `settled_bits`. `epoch`: the highest of the
        stored outcome rows.
        """
        ...

    def open(self, batch: str) -> None:
        """Let the lines of a registered batch be issued.

        Does nothing if it was opened before. Raises PermanentError (`batch_unknown`).
        """
        ...

    def close(self, batch: str, epoch: int, lease_token: str) -> bool:
        """Close a batch whose report was written at `epoch` by the holder of its report's lease.

        Returns False if a line is unsettled, a retry has raised the epoch since, `lease_token` does
        not hold the lease any more, outcome rows are left that the report lacks, or the batch is
        closed. Counters stay readable for CLOSED_KEPT_SECONDS. If the batch has a callback, it
        becomes due in the same step, as `BATCH:EPOCH`.
        """
        ...

    def lease_report(self, batch: str, token: str, seconds: float) -> bool:
        """Take the right to write a batch's report; return whether `token` holds it now."""
        ...

    def renew_report(self, batch: str, token: str, seconds: float) -> bool:
        """Renew that right; return False if it has ended, even if nobody else holds it."""
        ...

    def release_report(self, batch: str, token: str) -> None:
        """Give the right to write the report up, if `token` holds it."""
        ...

    def discard(self, batch: str, kept: float = CLOSED_KEPT_SECONDS) -> None:
        """Close a batch whatever is settled: it has no report, or cannot continue."""
        ...

    def mark_deleted(self, batch: str) -> None:
        """Have `was_deleted` say so for a day, before anything is deleted."""
        ...

    def forget(self, batch: str) -> None:
        """Delete everything stored for a batch. For a day, `was_deleted` knows that it existed."""
        ...

    def was_deleted(self, batch: str) -> bool:
        """Return whether a batch was deleted, or is being deleted, and not just lost."""
        ...

    def forget_closed(self, batch: str) -> bool:
        """Delete everything stored for a batch, unless it is not closed; return if it is gone."""
        ...

    def pause(self, batch: str, reason: str) -> bool:
        """Stop issuing and claiming lines. Returns False if the batch is neither open nor paused.

        A batch that the circuit breaker paused is then not resumed by itself.
        """
        ...

    def trip(self, batch: str, reason: str, retry_at: float | None) -> bool:
        """Pause a batch as the circuit breaker does. Returns False if the batch is not open.

        From `retry_at` (Unix seconds) on, `resume_tripped` may resume it; None: an operator must.
        """
        ...

    def cancel(self, batch: str) -> bool:
        """Have the dispatcher settle all unsettled lines as failed with the code `cancelled`.

        Returns False if the batch is neither open nor paused.
        """
        ...

    def reschedule(self, batch: str, change: Callable[[BatchSpec], BatchSpec]) -> BatchSpec | None:
        """Replace the spec of a batch by `change(spec)`, which has another schedule; return it.

        `change` is called again if another process was faster, with what that one has stored.
        Returns None if the batch is neither open nor paused.
        """
        ...

    def resume(self, batch: str) -> int:
        """Reopen a paused batch and mark its queued lines for republishing; return how many.

        Returns 0 if the batch is not paused.
        """
        ...

    def resume_tripped(self, batch: str) -> int:
        """Do the same, unless an operator must resume the batch; then return 0."""
        ...

    def reset_messages(self, *queues: str) -> None:
        """Delete queued messages and mark every outstanding line for republishing.

        Only for an embedded Redis with no worker running: lines that were being processed are
        taken back without counting as crashes. Shared settings are forgotten.
        """
        ...

    def reopen(self, batch: str, lines: Iterable[int], crash_causes: str = "") -> int:
        """Reopen failed lines, and their batch if it is closed; return how many had failed.

        With `crash_causes` they go to quarantine. Lines that have not failed, or that another call
        has reopened, are left alone; so is a batch that is being cancelled.
        """
        ...

    def reopen_unreported(
        self, batch: str, epoch: int, counts: dict[Status, int] | None, lines: Iterable[int]
    ) -> bool:
        """Reopen settled lines whose outcome row was lost.

        `counts`: the corrected counters, in which lines without a row count as done; each reopened
        line is taken from them. None after the first call. Returns False if the batch has changed
        since `epoch`.
        """
        ...

    def set_stalled_reason(self, batch: str, reason: str) -> None:
        """Record why a batch makes no progress; empty once it does. Ignored while it is paused."""
        ...

    def set_eta(self, batch: str, eta: float) -> None:
        """Store when a batch is expected to end (Unix seconds)."""
        ...

    def open_ids(self) -> list[str]:
        """Return the IDs of batches that are not closed, cutouts included."""
        ...

    def ids(self) -> list[str]:
        """Return the IDs of all known batches, newest first, without cutouts."""
        ...

    def exists(self, batch: str) -> bool: ...

    def progress(self, batch: str) -> Progress:
        """Return a batch's counters. Raises PermanentError (`batch_unknown`, `newer_release`)."""
        ...

    def progress_of(
        self, batches: Iterable[str], on_unreadable: OnUnreadable = log_unreadable
    ) -> list[Progress]:
        """Return the counters of batches, in a few round trips; unknown ones are left out.

        So are those that a newer release registered: `on_unreadable` is called with each.
        """
        ...

    def snapshot(self, batch: str, queues: tuple[str, str]) -> Snapshot:
        """Return all that the dispatcher needs to know of a batch, in one round trip.

        `queues`: the batch's main queue and its quarantine queue. Raises PermanentError
        (`batch_unknown`, `newer_release`).
        """
        ...

    def recent_results(self, batch: str) -> list[AttemptResult]:
        """Return the results of the latest attempts, newest first."""
        ...

    def settled_bits(self, batch: str) -> bytes:
        """Return one bit per line, most significant bit first; trailing bytes may be missing."""
        ...

    def failed_bits(self, batch: str) -> bytes:
        """Return the bits of the settled lines whose status is `failed`, as of `settled_bits`."""
        ...

    def settled_counts(self) -> dict[Status, int]:
        """Return how many images were settled so far, cutouts included; retried ones again."""
        ...
