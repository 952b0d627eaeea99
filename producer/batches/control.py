"""What an operator does to a batch: pause, resume, cancel, retry."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import cast

from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.ledger import Ledger
from contract.line_bits import lines_with_bit, no_bits, set_bit
from contract.schedule import changed
from contract.storage import batch_files, open_store
from producer.batches.report.rows import failures
from producer.batches.report.summary import write_summary

REOPEN_CHUNK = 1000
"""Lines reopened in one call of the ledger."""
NEVER_RETRIED = frozenset({ErrorCode.UNSAFE_KEY, ErrorCode.DUPLICATE_DESTINATION})
"""Codes of images that failed when the source was listed: a retry would fail the same way."""
RETRIED_BY_CODE_ONLY = frozenset({ErrorCode.POISONED})
"""Codes that a retry must name: these images may crash their process again."""


def pause(ledger: Ledger, batch: str) -> None:
    """Pause a batch until it is resumed, also one that paused itself.

    Raises PermanentError (`batch_unknown`, `batch_conflict`).
    """
    paused = ledger.batches.pause(batch, "Paused by an operator; `cutout resume` continues it.")
    _require(paused, ledger, batch)


def resume(ledger: Ledger, batch: str) -> None:
    """Continue a paused batch. Raises PermanentError (`batch_unknown`, `batch_conflict`)."""
    _require(ledger.batches.progress(batch).state == "paused", ledger, batch)
    ledger.batches.resume(batch)


def cancel(ledger: Ledger, batch: str) -> None:
    """End a batch early, also while its source is being listed.

    Raises PermanentError (`batch_unknown`, `batch_conflict`).
    """
    cancelled = ledger.listings.fail(batch, "Cancelled by an operator before it was listed.")
    _require(cancelled or ledger.batches.cancel(batch), ledger, batch)


def reschedule(ledger: Ledger, batch: str, changes: Mapping[str, object]) -> BatchSpec:
    """Change fields of a batch's schedule; return the new spec.

    Of two calls at once, each changes its own fields. The spec is stored in object storage first,
    from where `rebuild` reads it. Raises PermanentError: `batch_unknown`, `batch_conflict`,
    `invalid_schedule`.
    """
    attempts = 0

    def change(current: BatchSpec) -> BatchSpec:
        nonlocal attempts
        attempts += 1
        try:
            schedule = changed(current.schedule, changes)
        except PermanentError:
            if attempts > 1:  # the first one wrote what was never accepted
                batch_files.write_spec(current)
            raise
        spec = current.model_copy(update={"schedule": schedule})
        batch_files.write_spec(spec)
        return spec

    _require(ledger.batches.progress(batch).state in {"open", "paused"}, ledger, batch)
    spec = ledger.batches.reschedule(batch, change)
    _require(spec is not None, ledger, batch)
    return cast("BatchSpec", spec)


def _require(accepted: bool, ledger: Ledger, batch: str) -> None:
    """Raise PermanentError: `batch_unknown`, or `batch_conflict` unless `accepted`."""
    state = ledger.batches.progress(batch).state
    if not accepted:
        raise PermanentError(ErrorCode.BATCH_CONFLICT, f"The batch {batch} is {state}.")


def retry(ledger: Ledger, batch: str, code: ErrorCode | None = None) -> int:
    """Reopen failed images, all or those of one code; return how many.

    Without a code, poisoned images stay as they are; with it, they go to the quarantine worker.
    Raises PermanentError: `batch_unknown`, or `batch_conflict` for a code of NEVER_RETRIED and for
    a batch that is being cancelled.
    """
    if code in NEVER_RETRIED:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT,
            f"A retry of {code} would fail the same way: submit a new batch instead.",
        )
    progress = ledger.batches.progress(batch)
    _require(progress.state != "cancelling", ledger, batch)
    spec = progress.spec
    skipped = NEVER_RETRIED | RETRIED_BY_CODE_ONLY
    # all of them before any line is reopened: one that fails again meanwhile must stay failed
    chosen = no_bits(spec.total)
    for outcome in failures(ledger, spec):
        if outcome.code == code or (code is None and outcome.code not in skipped):
            set_bit(chosen, outcome.line)
    store = open_store(spec.destination)
    reopens = progress.state == "closed" and any(chosen)
    if reopens:
        # before the first is reopened: a batch whose summary says so is closed, and may be pruned
        write_summary(replace(progress, state="open", closed=None), store)
    lines = lines_with_bit(chosen)
    crash_causes = "poisoned before" if code is ErrorCode.POISONED else ""
    reopened = 0
    while chunk := list(islice(lines, REOPEN_CHUNK)):
        reopened += ledger.batches.reopen(batch, chunk, crash_causes)
    if reopens and not reopened:  # another retry was faster, and the batch may be closed again
        write_summary(ledger.batches.progress(batch), store)
    return reopened
