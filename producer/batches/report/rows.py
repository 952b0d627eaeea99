"""The present outcomes of a batch, open or closed, from Redis and object storage.

Rows are streamed: memory holds one segment, and three bits per line.
"""

from collections.abc import Iterator
from itertools import chain, islice

from contract.batch import BatchSpec
from contract.ledger import Ledger
from contract.ledger.undrained import undrained
from contract.line_bits import count_bits
from contract.outcome import Outcome, stored_outcome
from contract.storage import open_store
from contract.storage.outcome_files import FAILED_MARK, agreeing, latest, rows


def current(ledger: Ledger, spec: BatchSpec) -> Iterator[Outcome]:
    """Yield the present outcomes of an open or closed batch, one per settled line.

    A line that a retry reopened has none until it is settled again.
    """
    settled, failed = _bits(ledger, spec)
    return latest(agreeing(_rows(ledger, spec), settled, failed), spec.total)


def failures(ledger: Ledger, spec: BatchSpec) -> Iterator[Outcome]:
    """Yield the present outcomes of failed lines."""
    settled, failed = _bits(ledger, spec)
    rows = agreeing(_rows(ledger, spec, FAILED_MARK), settled, failed)
    return islice(latest(rows, spec.total), count_bits(failed))  # so that reading ends early


def _bits(ledger: Ledger, spec: BatchSpec) -> tuple[bytes, bytes]:
    """Return the bits of the settled and of the failed lines."""
    return ledger.batches.settled_bits(spec.id), ledger.batches.failed_bits(spec.id)


def _rows(ledger: Ledger, spec: BatchSpec, mark: bytes = b"") -> Iterator[Outcome]:
    """Yield every row whose JSON contains `mark`, undrained ones first."""
    waiting = (
        stored_outcome(spec.id, row.json)
        for row in undrained(ledger.lines, spec.id)
        if mark in row.json.encode()
    )
    return chain(waiting, rows(open_store(spec.destination), spec.id, mark))
