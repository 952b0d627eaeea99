"""Deletes the files of batches that were closed long ago: never outputs, never an open batch's."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from contract import names
from contract.ledger import Ledger
from contract.storage import batch_files, canonical_location, open_store
from producer.batches.report.summary import closed_at


@dataclass(frozen=True, slots=True)
class Pruned:
    """A batch whose files were deleted."""

    batch: str
    files: int
    size: int
    """bytes of the files together"""


def prune(
    ledger: Ledger | None, destination: str, age: float, on_damaged: batch_files.OnDamaged
) -> Iterator[Pruned]:
    """Delete the files of every batch below a destination that was closed over `age` seconds ago.

    Redis, if there is a `ledger`, forgets these batches first, so that no retry can reopen one. Its
    summary says that a batch is closed, and goes last: an interrupted call can be repeated. A batch
    whose summary is damaged is passed to `on_damaged`, and does not stop the others.
    """
    store = open_store(canonical_location(destination))
    for batch in batch_files.ids(store):
        try:
            closed = closed_at(store, batch)
        except batch_files.DAMAGE as error:
            on_damaged(batch, error)
            continue
        if closed is None or closed > time.time() - age:
            continue
        if ledger and not ledger.batches.forget_closed(batch):
            continue  # a retry has reopened it
        files = list(store.list(names.batch_prefix(batch)))
        for item in sorted(files, key=lambda item: item.key == names.summary_key(batch)):
            store.delete(item.key)
        yield Pruned(batch, len(files), sum(item.size for item in files))
