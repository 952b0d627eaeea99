"""What a ledger does with cutouts, besides what it does with every batch."""

from typing import Protocol

from contract.batch import BatchSpec
from contract.outcome import Outcome


class Cutouts(Protocol):
    """Batches of one image: how a cutout is registered, and how it ends."""

    def register(self, spec: BatchSpec, outcome: Outcome | None = None, kept: float = 0) -> bool:
        """Store a cutout and open it. One that has ended: closed, for `kept` seconds.

        Returns False if it is known already, or was deleted.
        """
        ...

    def outcome(self, cutout_id: str) -> Outcome | None:
        """Return the outcome of a cutout, or None if it is not settled."""
        ...

    def close(self, cutout_id: str, kept: float) -> bool:
        """Close a cutout that has an outcome or is being deleted; keep it for `kept` seconds.

        Returns False if neither is so: it was lost and restored since it was read.
        """
        ...
