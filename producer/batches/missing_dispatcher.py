"""The stalled reason of batches without a dispatcher, which is what sets all other reasons."""

from collections.abc import Iterable
from dataclasses import replace

from contract.batch import Progress, State
from contract.ledger import Ledger

NO_DISPATCHER = "No dispatcher is running, so no image is queued: start `cutout dispatch`."
SERVED_STATES: tuple[State, ...] = ("open", "cancelling")
"""States in which a batch waits for a dispatcher."""


def with_missing_dispatcher(ledger: Ledger, batches: Iterable[Progress]) -> list[Progress]:
    """Return the batches; if no dispatcher runs, those that wait for one say so."""
    rows = list(batches)
    if not any(row.state in SERVED_STATES for row in rows) or ledger.has_dispatcher():
        return rows
    return [
        replace(row, stalled_reason=NO_DISPATCHER) if row.state in SERVED_STATES else row
        for row in rows
    ]
