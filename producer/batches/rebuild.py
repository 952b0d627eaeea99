"""Restores batches that Redis has lost, from their files in object storage."""

from collections.abc import Iterator
from itertools import chain

from contract import names
from contract.batch import BatchSpec
from contract.errors import REDIS_CODES, ErrorCode, PermanentError
from contract.ledger import Ledger
from contract.line_bits import no_bits, set_bit
from contract.outcome import Status
from contract.storage import batch_files, canonical_location, open_store, outcome_files
from producer.batches.drain import restore_refused
from producer.batches.report.summary import closed_at


def rebuild(ledger: Ledger, batch: str, destination: str) -> tuple[BatchSpec, int]:
    """Restore a batch that Redis has lost, from the files below its destination, and open it.

    Returns its spec and the number of lines with an outcome. The other lines are published again,
    unless registration refused them; a worker that finds the output of one settles it without
    processing it. Raises PermanentError (`batch_unknown`, `batch_exists`, `newer_release`).
    """
    if names.is_batch_id(batch) and not _is_lost(ledger, batch):
        raise PermanentError(ErrorCode.BATCH_EXISTS, f"Redis still knows the batch {batch}.")
    spec = batch_files.read_spec(batch, canonical_location(destination))
    settled, failed = no_bits(spec.total), no_bits(spec.total)
    counts = dict.fromkeys(Status, 0)
    store = open_store(spec.destination)
    epoch = outcome_files.highest_epoch(store, batch)
    stored = outcome_files.latest(outcome_files.rows(store, batch), spec.total)
    # the second is read after the first, which sets the bits
    for outcome in chain(stored, restore_refused(spec, settled)):
        set_bit(settled, outcome.line)
        if outcome.status is Status.FAILED:
            set_bit(failed, outcome.line)
        counts[outcome.status] += 1
    ledger.batches.restore(spec, bytes(settled), bytes(failed), counts, epoch)
    ledger.batches.open(batch)
    return spec, sum(counts.values())


def rebuild_all(
    ledger: Ledger, destination: str, on_damaged: batch_files.OnDamaged
) -> Iterator[tuple[BatchSpec, int]]:
    """Restore every batch below a destination that Redis has lost and that is not closed.

    Yields what `rebuild` returns, batch by batch, oldest first. A batch that is damaged or comes
    from a newer release is passed to `on_damaged`, and does not stop the others.
    """
    destination = canonical_location(destination)
    store = open_store(destination)
    for batch in batch_files.ids(store):
        try:
            if not _is_lost(ledger, batch):
                continue
            if store.head(names.spec_key(batch)) is None or closed_at(store, batch) is not None:
                continue
            restored = rebuild(ledger, batch, destination)
        except batch_files.DAMAGE as error:
            if isinstance(error, PermanentError) and error.code in REDIS_CODES:
                raise
            on_damaged(batch, error)
        else:
            yield restored


def _is_lost(ledger: Ledger, batch: str) -> bool:
    """Return whether Redis has lost a batch, or an earlier call was killed while it restored it."""
    if not ledger.batches.exists(batch):
        return True
    half_restored = ledger.batches.progress(batch).state == "registering"
    return half_restored and batch not in ledger.listings.ids()  # nobody is to list its source
