"""What a person does to a batch on its way: pause, resume, cancel, retry, rebuild."""

from collections.abc import Iterator
from itertools import islice

from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.ledger import Ledger
from contract.outcome import Status
from contract.storage import batch_files, canonical_location, open_store
from producer.batches import reports

REOPENED_AT_ONCE = 1000
NEVER_RETRIED = frozenset({ErrorCode.UNSAFE_KEY, ErrorCode.DUPLICATE_DESTINATION})
"""Settled when the batch was listed: no second try of the same listing can end otherwise."""
ONLY_WHEN_NAMED = frozenset({ErrorCode.POISONED})


def pause(ledger: Ledger, batch: str) -> None:
    """Stop handing out a batch. Raises PermanentError (`batch_unknown`, `batch_conflict`)."""
    _refuse_unless(
        ledger.batches.pause(batch, "Paused by hand; `cutout resume` carries on."), ledger, batch
    )


def resume(ledger: Ledger, batch: str) -> None:
    """Carry on with a paused batch. Raises PermanentError (`batch_unknown`, `batch_conflict`)."""
    _refuse_unless(ledger.batches.progress(batch).state == "paused", ledger, batch)
    ledger.batches.resume(batch)


def cancel(ledger: Ledger, batch: str) -> None:
    """End a batch. Raises PermanentError (`batch_unknown`, `batch_conflict`)."""
    _refuse_unless(ledger.batches.cancel(batch), ledger, batch)


def _refuse_unless(able: bool, ledger: Ledger, batch: str) -> None:
    state = ledger.batches.progress(batch).state
    if not able:
        raise PermanentError(ErrorCode.BATCH_CONFLICT, f"The batch {batch} is {state}.")


def retry(ledger: Ledger, batch: str, code: ErrorCode | None = None) -> int:
    """Open failed images again, all or those of one code; return how many.

    Poisoned ones only where that code is named: they go straight to quarantine. Raises
    PermanentError (`batch_unknown`, `batch_conflict` where no second try can help).
    """
    if code in NEVER_RETRIED:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT, f"{code} cannot end otherwise: submit a new batch instead."
        )
    spec = ledger.batches.progress(batch).spec
    lines = _failed_lines(ledger, spec, code)
    opened = 0
    while chunk := list(islice(lines, REOPENED_AT_ONCE)):
        opened += ledger.batches.reopen(batch, chunk)
    return opened


def _failed_lines(ledger: Ledger, spec: BatchSpec, code: ErrorCode | None) -> Iterator[str]:
    left_out = NEVER_RETRIED | ONLY_WHEN_NAMED
    # whole, before any is opened: what is settled anew meanwhile is not to be opened again
    for outcome in list(reports.failures(ledger, spec)):
        if outcome.code == code or (code is None and outcome.code not in left_out):
            poisoned = outcome.code is ErrorCode.POISONED
            yield f"{outcome.line}:poisoned before" if poisoned else str(outcome.line)


def rebuild(ledger: Ledger, batch: str, destination: str) -> tuple[BatchSpec, int]:
    """Make a batch that Redis has lost known again, from what lies below its destination.

    Returns its spec and how many lines have an outcome. The rest is handed out again: a worker
    that finds a line's output there settles it without running it. Raises PermanentError
    (`batch_unknown`, `batch_exists`).
    """
    if batch in ledger.batches.ids():
        raise PermanentError(ErrorCode.BATCH_EXISTS, f"Redis knows the batch {batch}.")
    spec = batch_files.read_spec(batch, canonical_location(destination))
    settled, failed = bytearray(spec.total // 8 + 1), bytearray(spec.total // 8 + 1)
    counts = dict.fromkeys(Status, 0)
    for outcome in batch_files.outcomes(open_store(spec.destination), spec):
        batch_files.set_bit(settled, outcome.line)
        if outcome.status is Status.FAILED:
            batch_files.set_bit(failed, outcome.line)
        counts[outcome.status] += 1
    ledger.batches.restore(spec, bytes(settled), bytes(failed), counts)
    ledger.batches.open(batch)
    return spec, sum(counts.values())
