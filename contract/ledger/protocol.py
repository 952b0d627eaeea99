"""What a ledger does. `redis_ledger.py` is the real one, `memory/` the fake for tests.

A line that is not settled is in at most one of four sets: issued (its message is in the broker),
quarantined (the same, in the quarantine queue), claimed (a worker is processing it under a lease)
or deferred (it waits for a retry). The sets are bounded by the window; losing them costs repeated
attempts and nothing else. A line is settled by setting one bit, once; counters and outcome rows
change only together with that bit.

Every method raises RetryableError or PermanentError (`redis_unavailable`). All times are Unix
seconds by the ledger's own clock.
"""

from collections.abc import Iterable
from typing import Protocol

from contract.batch import BatchSpec, Progress, Snapshot, State
from contract.ledger.records import (
    CLOSED_KEPT_SECONDS,
    MAX_OUTSTANDING,
    RESULT_OK,
    Claim,
    ClaimRefused,
    Issued,
    NamedBatch,
    Worker,
)
from contract.outcome import AttemptResult, Outcome, OutcomeRow, Status


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

    def register_cutout(
        self, spec: BatchSpec, outcome: Outcome | None = None, kept: float = 0
    ) -> bool:
        """Store a cutout and open it. One that has ended: closed, for `kept` seconds.

        Returns False if it is known already, or was deleted.
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

    def forget(self, batch: str) -> None:
        """Delete everything stored for a batch. For a day, `was_deleted` knows that it existed."""
        ...

    def was_deleted(self, batch: str) -> bool:
        """Return whether a batch was deleted by `forget`, and not just lost."""
        ...

    def forget_closed(self, batch: str) -> bool:
        """Delete everything stored for a batch, unless it is not closed; return if it is gone."""
        ...

    def pause(self, batch: str, reason: str, retry_at: float | None = None) -> bool:
        """Stop issuing and claiming lines. Returns False if the batch is not open.

        At `retry_at` the dispatcher may resume the batch by itself.
        """
        ...

    def cancel(self, batch: str) -> bool:
        """Have the dispatcher settle all unsettled lines as failed with the code `cancelled`.

        Returns False if the batch is neither open nor paused.
        """
        ...

    def reschedule(self, spec: BatchSpec) -> bool:
        """Store the spec of a batch whose schedule was changed.

        Returns False if the batch is neither open nor paused.
        """
        ...

    def resume(self, batch: str) -> int:
        """Reopen a paused batch and mark its queued lines for republishing; return how many.

        Returns 0 if the batch is not paused.
        """
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
        has reopened, are left alone.
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
        """Return a batch's counters. Raises PermanentError (`batch_unknown`)."""
        ...

    def progress_of(self, batches: Iterable[str]) -> list[Progress]:
        """Return the counters of batches, in a few round trips; unknown ones are left out."""
        ...

    def snapshot(self, batch: str, queues: tuple[str, str]) -> Snapshot:
        """Return all that the dispatcher needs to know of a batch, in one round trip.

        `queues`: the batch's main queue and its quarantine queue. Raises PermanentError
        (`batch_unknown`).
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

    def cutout_outcome(self, batch: str) -> Outcome | None:
        """Return the outcome of a cutout, or None if it is not settled."""
        ...

    def close_cutout(self, batch: str, kept: float) -> bool:
        """Close a cutout that has an outcome or is being deleted; keep it for `kept` seconds.

        Returns False if neither is so: it was lost and restored since it was read.
        """
        ...


class Listings(Protocol):
    """The listings of batches in state `registering`, and the names of batches.

    One process at a time lists a source. It holds a lease of LISTING_LEASE_SECONDS under its token;
    every call with that token renews it.
    """

    def reserve_name(self, name: str, digest: str, batch: str) -> NamedBatch:
        """Give a name to a batch, unless it is taken; return the batch that has it.

        The name is kept for NAME_KEPT_SECONDS. The batch need not exist yet.
        """
        ...

    def release_name(self, name: str, digest: str, batch: str) -> None:
        """Give a name up, if this batch has it."""
        ...

    def begin(self, spec: BatchSpec) -> bool:
        """Store a new batch whose source is to be listed. Returns False if the batch is known."""
        ...

    def ids(self) -> list[str]:
        """Return the IDs of the batches that are being registered."""
        ...

    def acquire(self, batch: str, token: str) -> bool:
        """Take the right to list a batch's source.

        Returns False if another process holds it, or the batch is not being registered.
        """
        ...

    def record(self, batch: str, token: str, lines: int, stalled_reason: str = "") -> bool:
        """Record how many lines are listed, or why there is no progress. False as of `acquire`."""
        ...

    def complete(self, spec: BatchSpec, token: str) -> bool:
        """Store the spec of a batch whose source is listed. Returns False as of `acquire`."""
        ...

    def release(self, batch: str, token: str) -> None:
        """Give the right to list up, if `token` holds it."""
        ...

    def fail(self, batch: str, reason: str, token: str = "") -> bool:
        """End a registration that cannot succeed; its reason stays readable.

        If the batch has a callback, it becomes due in the same step. Returns False if the batch is
        not being registered, or `token` does not hold the right to list its source. Without
        `token`, an operator ends it.
        """
        ...


class Lines(Protocol):
    """The lines of a batch: issued, claimed, deferred, settled."""

    def issue(
        self, batch: str, limit: int, window: int, timeout: float,
        max_outstanding: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        """Take up to `limit` further lines for publishing.

        At most `window` lines are then queued or being processed. Lines that wait for a retry or
        for the quarantine worker do not count, so that they do not hold up the others; with them,
        at most `max_outstanding` are outstanding.

        A line that is not settled or claimed within `timeout` seconds becomes overdue.
        """
        ...

    def reissue(
        self, batch: str, limit: int, timeout: float, grace: float, oldest: tuple[str, str],
        window: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        """Take up to `limit` lines whose message was lost, whose lease ended or whose retry is due.

        Retries are taken only while fewer than `window` lines are queued or being processed.

        `grace`: seconds between a worker's receiving a message and its claim. `oldest`: see
        `Snapshot.oldest_queued`.
        """
        ...

    def unsettled(self, batch: str, limit: int) -> list[int]:
        """Return the first lines, up to `limit`, that are not settled."""
        ...

    def unacknowledged(self) -> list[str]:
        """Return the task IDs of messages that workers received and have not acknowledged."""
        ...

    def claim(
        self, batch: str, line: int, token: str, lease: float, *, quarantine: bool
    ) -> Claim | ClaimRefused:
        """Claim a line for `lease` seconds.

        `token` identifies this attempt; its prefix identifies the process (see `record_crash`).
        `quarantine`: True for the quarantine worker.
        """
        ...

    def renew(self, batch: str, line: int, token: str, lease: float) -> bool:
        """Extend the lease of a claimed line to `lease` seconds from now.

        Returns False if the line is not claimed by `token` any more.
        """
        ...

    def record_crash(self, batch: str, line: int, token_prefix: str, cause: str) -> bool:
        """Record that the process working on this line died, and why.

        Returns False if the line is not claimed by a token with that prefix.
        """
        ...

    def defer(
        self, batch: str, line: int, token: str, delay: float, code: str, worker: str = ""
    ) -> int:
        """Release a claimed line for a retry in `delay` seconds; return its retries so far.

        Returns 0 if the line is not claimed by `token`.
        """
        ...

    def finish(self, batch: str, outcome: Outcome, result: str = RESULT_OK) -> bool:
        """Settle a line. Returns False if it was settled before, or the batch is closed.

        `result`: the error code behind a failure, for the circuit breaker.
        """
        ...

    def finish_all(
        self,
        batch: str,
        outcomes: Iterable[Outcome],
        result: str = RESULT_OK,
        state: State | None = None,
    ) -> int:
        """Settle lines in one round trip; return how many were not settled before.

        `state`: settle none unless the batch is in this state now.
        """
        ...

    def outcomes(self, batch: str, limit: int) -> list[OutcomeRow]:
        """Return up to `limit` outcome rows, oldest first."""
        ...

    def newest_outcomes(self, batch: str, before: str, limit: int) -> list[OutcomeRow]:
        """Return up to `limit` outcome rows, newest first: those before the row ID `before`.

        `before` is empty for the first call.
        """
        ...

    def drop_outcomes(self, batch: str, last: str) -> None:
        """Delete outcome rows up to and including the row ID `last`."""
        ...


class Workers(Protocol):
    """The registry of running workers. May be lost at any time."""

    def register(self, worker: Worker) -> None:
        """Record that a worker is running. Expires after WORKER_SILENT_SECONDS."""
        ...

    def unregister(self, name: str) -> None: ...

    def list(self) -> list[Worker]:
        """Return the registered workers by name."""
        ...

    def share_settings(self, values: dict[str, str]) -> dict[str, str]:
        """Store settings that all processes must share, unless others are stored; return what is.

        Equal ones are renewed: they are forgotten after WORKER_SILENT_SECONDS.
        """
        ...

    def clock_skew(self) -> float:
        """Return how many seconds this machine's clock is ahead of the ledger's."""
        ...

    def queue_length(self, queue: str) -> int: ...


class Ledger(Protocol):
    """The four parts, and the dispatcher's lease."""

    @property
    def batches(self) -> Batches: ...

    @property
    def listings(self) -> Listings: ...

    @property
    def lines(self) -> Lines: ...

    @property
    def workers(self) -> Workers: ...

    def ping(self) -> None:
        """Raise RetryableError or PermanentError (`redis_unavailable`) unless Redis answers."""
        ...

    def sync(self) -> bool:
        """Wait, about a second, until everything written so far survives a power cut.

        Returns False if the ledger cannot tell: a Redis older than 7.2, or without an append-only
        file.
        """
        ...

    def acquire_lease(self, token: str, seconds: float) -> bool:
        """Take or renew the dispatcher's lease; return whether `token` holds it now."""
        ...

    def release_lease(self, token: str) -> None:
        """Give the lease up, if `token` holds it."""
        ...
