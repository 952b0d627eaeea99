"""The right to write the report of one batch: at most one dispatcher has it at a time."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from contract.errors import CutoutError
from contract.ledger import Ledger

REPORT_LEASE_SECONDS = 30
"""After this another dispatcher may write the report of one that died or hangs."""
RENEWED_EVERY_SECONDS = 5


class LeaseLostError(Exception):
    """The report is not ours to write any more."""


class ReportLease:
    """A lease that a thread of its own renews, as storage may take longer than the lease lasts."""

    def __init__(self, ledger: Ledger, batch: str) -> None:
        self.token = secrets.token_hex(8)
        self._ledger = ledger
        self._batch = batch
        self._expires = 0.0
        """by `time.monotonic`; never later than in the ledger"""
        self._released = Event()

    def take(self) -> bool:
        """Take the lease; return whether it is held now."""
        return self._held_by(self._ledger.batches.lease_report)

    def _held_by(self, request: Callable[[str, str, float], bool]) -> bool:
        """Take or renew the lease by a request to the ledger; return whether it is held now."""
        before = time.monotonic()
        held = request(self._batch, self.token, REPORT_LEASE_SECONDS)
        self._expires = before + REPORT_LEASE_SECONDS if held else 0
        return held

    def check(self) -> None:
        """Raise LeaseLostError unless the lease is held."""
        if time.monotonic() >= self._expires:
            raise LeaseLostError

    def keep_renewing(self) -> None:
        """Renew the lease until it is lost or released."""
        while not self._released.wait(RENEWED_EVERY_SECONDS):
            with suppress(CutoutError):  # Redis is away: the lease may last until it is back
                if not self._held_by(self._ledger.batches.renew_report):
                    return

    def release(self) -> None:
        self._released.set()
        with suppress(CutoutError):  # it expires by itself
            self._ledger.batches.release_report(self._batch, self.token)


@contextmanager
def report_lease(ledger: Ledger, batch: str) -> Iterator[ReportLease | None]:
    """Hold the lease of a batch's report; yield None if another dispatcher holds it."""
    lease = ReportLease(ledger, batch)
    if not lease.take():
        yield None
        return
    renewing = Thread(target=lease.keep_renewing, name="report-lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        lease.release()
        renewing.join()
