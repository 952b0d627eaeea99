"""Reads outcome rows that are still in the ledger, page by page."""

from collections.abc import Iterator

from contract.ledger.protocol import Lines
from contract.ledger.records import SCRIPT_LINES
from contract.outcome import OutcomeRow


def undrained(lines: Lines, batch: str) -> Iterator[OutcomeRow]:
    """Yield the undrained rows of a batch, newest first.

    List the segments in object storage afterwards: a row that is drained meanwhile is then read
    twice instead of never.
    """
    before = ""
    while page := lines.newest_outcomes(batch, before, SCRIPT_LINES):
        yield from page
        before = page[-1].id
