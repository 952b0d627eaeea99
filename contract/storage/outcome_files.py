"""Segments of outcome rows in a batch's destination, and which row of a line is the present one.

A line may have several rows: a retry reopened it, a segment was written twice after a crash, or
Redis lost its latest writes and the line was settled again. The row of the highest epoch is the
latest; no clock decides. Rows that the ledger contradicts (it says that the line is not settled, or
has failed, or has not) are ignored.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from contract import names
from contract.line_bits import has_bit, no_bits, set_bit
from contract.outcome import Outcome, OutcomeRow, Status, stored_outcome
from contract.storage.json_lines import get_lines, put_lines
from contract.storage.protocol import Store

FAILED_MARK = b'"status":"failed"'
"""What the JSON of every failed outcome contains, and hardly any other."""


def write_segments(store: Store, batch: str, rows: Iterable[OutcomeRow]) -> None:
    """Store rows: one segment for each run of rows of one epoch."""
    for epoch, group in groupby(rows, lambda row: row.epoch):
        run = list(group)
        key = names.outcomes_key(batch, epoch, run[0].id, run[-1].id)
        put_lines(store, key, (row.json for row in run))


def segments(store: Store, batch: str) -> list[str]:
    """Return the keys of the segments, those of the highest epoch first."""
    keys = [item.key for item in store.list(names.outcomes_prefix(batch))]
    return sorted(keys, key=lambda key: (names.outcomes_epoch(key), key), reverse=True)


def highest_epoch(store: Store, batch: str) -> int:
    """Return the highest epoch of a stored row; 0 if there is none."""
    return max(map(names.outcomes_epoch, segments(store, batch)), default=0)


def rows(store: Store, batch: str, mark: bytes = b"") -> Iterator[Outcome]:
    """Yield the rows whose JSON contains `mark`, those of the highest epoch first.

    Raises PermanentError (`newer_release`).
    """
    for key in segments(store, batch):
        for line in reversed(get_lines(store, key)):
            if mark in line:
                yield stored_outcome(batch, line)


def agreeing(rows: Iterable[Outcome], settled: bytes, failed: bytes) -> Iterator[Outcome]:
    """Yield the rows with which the ledger agrees.

    `settled`, `failed`: the bits of the lines, as of the ledger.
    """
    for row in rows:
        if has_bit(settled, row.line) and has_bit(failed, row.line) == (
            row.status is Status.FAILED
        ):
            yield row


def latest(rows: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """Yield the first row of each of `total` lines."""
    seen = no_bits(total)
    for row in rows:
        if not has_bit(seen, row.line):
            set_bit(seen, row.line)
            yield row
