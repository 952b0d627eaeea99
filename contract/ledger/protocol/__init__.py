"""What a ledger does. `../redis_ledger.py` is the real one, `../memory/` the fake for tests.

A line that is not settled is in at most one of four sets: issued (its message is in the broker),
quarantined (the same, in the quarantine queue), claimed (a worker is processing it under a lease)
or deferred (it waits for a retry). The sets are bounded by the window; losing them costs repeated
attempts and nothing else. A line is settled by setting one bit, once; counters and outcome rows
change only together with that bit.

Every method raises RetryableError or PermanentError (`redis_unavailable`). All times are Unix
seconds by the ledger's own clock.
"""

from typing import Protocol

from contract.ledger.protocol.batches import Batches
from contract.ledger.protocol.cutouts import Cutouts
from contract.ledger.protocol.lines import Lines
from contract.ledger.protocol.listings import Listings
from contract.ledger.protocol.workers import Workers

__all__ = ["Batches", "Cutouts", "Ledger", "Lines", "Listings", "Workers"]


class Ledger(Protocol):
    """Its parts, and the dispatcher's lease."""

    @property
    def batches(self) -> Batches: ...

    @property
    def cutouts(self) -> Cutouts: ...

    @property
    def listings(self) -> Listings: ...

    @property
    def lines(self) -> Lines: ...

    @property
    def workers(self) -> Workers: ...

    def ping(self) -> None:
        """Raise RetryableError or PermanentError (`redis_unavailable`) unless Redis answers."""
        ...

    def sync(self) -> bool:
        """Wait, about a second, until everything written so far survives a power cut.

        Returns False if the ledger cannot tell: a Redis older than 7.2, or without an append-only
        file.
        """
        ...

    def acquire_lease(self, token: str, seconds: float) -> bool:
        """Take or renew the dispatcher's lease; return whether `token` holds it now."""
        ...

    def has_dispatcher(self) -> bool:
        """Return whether a dispatcher holds the lease: whether one is running."""
        ...

    def release_lease(self, token: str) -> None:
        """Give the lease up, if `token` holds it."""
        ...
