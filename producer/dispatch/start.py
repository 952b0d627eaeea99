"""Batches whose schedule names a start."""

import time

from contract.batch import Progress
from contract.ledger import Ledger
from contract.schedule import utc_text

STARTS_AT = "Starts at "


def waits_for_start(ledger: Ledger, progress: Progress) -> bool:
    """Return whether an open batch's time has not come; its stalled reason says so."""
    start, current = progress.spec.schedule.start, progress.stalled_reason
    waits = time.time() < start
    reason = f"{STARTS_AT}{utc_text(start)}, as its schedule says." if waits else ""
    if reason != current and (waits or current.startswith(STARTS_AT)):
        ledger.batches.set_stalled_reason(progress.spec.id, reason)
    return waits
