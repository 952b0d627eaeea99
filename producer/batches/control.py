"""What an operator does to a batch: pause, resume, cancel, retry, rebuild."""

from collections.abc import Mapping
from itertools import chain

from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.ledger import Ledger
from contract.line_bits import no_bits, set_bit
from contract.outcome import Status
from contract.schedule import changed
from contract.storage import batch_files, canonical_location, open_store
from producer.batches import reports

REOPEN_CHUNK = 1000
"""Lines reopened in one call of the ledger."""
NEVER_RETRIED = frozenset({ErrorCode.UNSAFE_KEY, ErrorCode.DUPLICATE_DESTINATION})
"""Codes of images that failed when the source was listed: a retry would fail the same way."""
RETRIED_BY_CODE_ONLY = frozenset({ErrorCode.POISONED})
"""Codes that a retry must name: these images may crash their process again."""


def pause(ledger: Ledger, batch: str) -> None:
    """Pause an open batch. Raises PermanentError (`batch_unknown`, `batch_conflict`)."""
    paused = ledger.batches.pause(batch, "Paused by an operator; `cutout resume` continues it.")
    _require(paused, ledger, batch)


def resume(ledger: Ledger, batch: str) -> None:
    """Continue a paused batch. Raises PermanentError (`batch_unknown`, `batch_conflict`)."""
    _require(ledger.batches.progress(batch).state == "paused", ledger, batch)
    ledger.batches.resume(batch)


def cancel(ledger: Ledger, batch: str) -> None:
    """End a batch early. Raises PermanentError (`batch_unknown`, `batch_conflict`)."""
    _require(ledger.batches.cancel(batch), ledger, batch)


def reschedule(ledger: Ledger, batch: str, changes: Mapping[str, object]) -> BatchSpec:
    """Change fields of a batch's schedule; return the new spec.

    It is stored in object storage first, from where `rebuild` reads it. Raises PermanentError:
    `batch_unknown`, `batch_conflict`, `invalid_schedule`.
    """
    progress = ledger.batches.progress(batch)
    schedule = changed(progress.spec.schedule, changes)
    spec = progress.spec.model_copy(update={"schedule": schedule})
    _require(progress.state in {"open", "paused"}, ledger, batch)
    batch_files.write_spec(spec)
    _require(ledger.batches.reschedule(spec), ledger, batch)
    return spec


def _require(accepted: bool, ledger: Ledger, batch: str) -> None:
    """Raise PermanentError: `batch_unknown`, or `batch_conflict` unless `accepted`."""
    state = ledger.batches.progress(batch).state
    if not accepted:
        raise PermanentError(ErrorCode.BATCH_CONFLICT, f"The batch {batch} is {state}.")


def retry(ledger: Ledger, batch: str, code: ErrorCode | None = None) -> int:
    """Reopen failed images, all or those of one code; return how many.

    Without a code, poisoned images stay as they are; with it, they go to the quarantine worker.
    Raises PermanentError: `batch_unknown`, or `batch_conflict` for a code of NEVER_RETRIED.
    """
    if code in NEVER_RETRIED:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT,
            f"A retry of {code} would fail the same way: submit a new batch instead.",
        )
    spec = ledger.batches.progress(batch).spec
    skipped = NEVER_RETRIED | RETRIED_BY_CODE_ONLY
    # a complete list before any line is reopened: one that fails again meanwhile must stay failed
    lines = [
        outcome.line
        for outcome in reports.failures(ledger, spec)
        if outcome.code == code or (code is None and outcome.code not in skipped)
    ]
    crash_causes = "poisoned before" if code is ErrorCode.POISONED else ""
    return sum(
        ledger.batches.reopen(batch, lines[start : start + REOPEN_CHUNK], crash_causes)
        for start in range(0, len(lines), REOPEN_CHUNK)
    )


def rebuild(ledger: Ledger, batch: str, destination: str) -> tuple[BatchSpec, int]:
    """Restore a batch that Redis has lost, from the files below its destination, and open it.

    Returns its spec and the number of lines with an outcome. The other lines are published again,
    unless registration refused them; a worker that finds the output of one settles it without
    processing it. Raises PermanentError (`batch_unknown`, `batch_exists`).
    """
    if batch in ledger.batches.ids():
        raise PermanentError(ErrorCode.BATCH_EXISTS, f"Redis still knows the batch {batch}.")
    spec = batch_files.read_spec(batch, canonical_location(destination))
    settled, failed = no_bits(spec.total), no_bits(spec.total)
    counts = dict.fromkeys(Status, 0)
    stored = batch_files.outcomes(open_store(spec.destination), spec)
    # the second is read after the first, which sets the bits
    for outcome in chain(stored, reports.restore_refused(spec, settled)):
        set_bit(settled, outcome.line)
        if outcome.status is Status.FAILED:
            set_bit(failed, outcome.line)
        counts[outcome.status] += 1
    ledger.batches.restore(spec, bytes(settled), bytes(failed), counts)
    ledger.batches.open(batch)
    return spec, sum(counts.values())
