"""Moves outcome rows from Redis to segments in object storage."""

import time
from collections.abc import Iterator
from itertools import islice

from contract.batch import BatchSpec
from contract.ledger import Ledger
from contract.line_bits import has_bit
from contract.outcome import Outcome, OutcomeRow
from contract.storage import open_store
from contract.storage.outcome_files import write_segments
from producer.batches.collisions import refused

MAX_DRAINED_ROWS = 10_000
"""Outcome rows in one segment."""


def drain(ledger: Ledger, spec: BatchSpec) -> bool:
    """Move the oldest outcome rows from Redis into a segment; return True if there were any.

    The segment is written before the rows are deleted. A crash in between repeats rows; the report
    counts them once.
    """
    rows = ledger.lines.outcomes(spec.id, MAX_DRAINED_ROWS)
    if not rows:
        return False
    write_segments(open_store(spec.destination), spec.id, rows)
    ledger.lines.drop_outcomes(spec.id, rows[-1].id)
    return True


def restore_refused(spec: BatchSpec, seen: bytearray) -> Iterator[Outcome]:
    """Store and yield the outcomes of lines that registration refused and that have no row.

    `seen`: the bits of the lines with a row. No worker may process a refused line: it could replace
    the output of another.
    """
    store, now = open_store(spec.destination), int(time.time() * 1000)
    lost = (outcome for outcome in refused(spec) if not has_bit(seen, outcome.line))
    while chunk := list(islice(lost, MAX_DRAINED_ROWS)):
        rows = [OutcomeRow(f"{now}-{x.line}", 0, x.model_dump_json()) for x in chunk]
        write_segments(store, spec.id, rows)
        yield from chunk
