"""What a ledger does with batches that are being listed."""

from typing import Protocol

from contract.batch import BatchSpec
from contract.ledger.records import NamedBatch


class Listings(Protocol):
    """The listings of batches in state `registering`, and the names of batches.

    One process at a time lists a source. It holds a lease of LISTING_LEASE_SECONDS under its token;
    every call with that token renews it.
    """

    def reserve_name(self, name: str, digest: str, batch: str) -> NamedBatch:
        """Give a name to a batch, unless it is taken; return the batch that has it.

        The name is kept for NAME_KEPT_SECONDS. The batch need not exist yet.
        """
        ...

    def release_name(self, name: str, digest: str, batch: str) -> None:
        """Give a name up, if this batch has it."""
        ...

    def begin(self, spec: BatchSpec) -> bool:
        """Store a new batch whose source is to be listed. Returns False if the batch is known."""
        ...

    def ids(self) -> list[str]:
        """Return the IDs of the batches that are being registered."""
        ...

    def acquire(self, batch: str, token: str) -> bool:
        """Take the right to list a batch's source.

        Returns False if another process holds it, or the batch is not being registered.
        """
        ...

    def record(self, batch: str, token: str, lines: int, stalled_reason: str = "") -> bool:
        """Record how many lines are listed, or why there is no progress. False as of `acquire`."""
        ...

    def complete(self, spec: BatchSpec, token: str) -> bool:
        """Store the spec of a batch whose source is listed. Returns False as of `acquire`.

        Its lines count as unsettled, also those that a process settled which died before it opened
        the batch: they may have been others.
        """
        ...

    def release(self, batch: str, token: str) -> None:
        """Give the right to list up, if `token` holds it."""
        ...

    def fail(self, batch: str, reason: str, token: str = "") -> bool:
        """End a registration that cannot succeed; its reason stays readable.

        If the batch has a callback, it becomes due in the same step. Returns False if the batch is
        not being registered, or `token` does not hold the right to list its source. Without
        `token`, an operator ends it.
        """
        ...
