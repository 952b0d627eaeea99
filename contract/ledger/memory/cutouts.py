"""Cutouts in memory: batches of one image."""

from contract.batch import BatchSpec
from contract.ledger.memory.batches import MemoryBatches
from contract.ledger.memory.state import MemoryState
from contract.outcome import Outcome, Status, stored_outcome


class MemoryCutouts:
    """See `contract.ledger.protocol.Cutouts`."""

    def __init__(self, state: MemoryState, batches: MemoryBatches) -> None:
        self._state = state
        self._batches = batches

    def register(self, spec: BatchSpec, outcome: Outcome | None = None, kept: float = 0) -> bool:
        if self._batches.exists(spec.id) or self._batches.was_deleted(spec.id):
            return False
        self._batches.register(spec)
        self._batches.open(spec.id)
        if outcome:
            row = self._state.require(spec.id)
            row.counts[outcome.status] = 1
            row.settled, row.cursor, row.cutout_outcome = {0}, 1, outcome
            row.failed = {0} if outcome.status is Status.FAILED else set()
            self._batches.discard(spec.id, kept)
        return True

    def outcome(self, cutout_id: str) -> Outcome | None:
        row = self._state.find(cutout_id)
        if row is None or row.cutout_outcome or not row.outcomes:
            return row.cutout_outcome if row else None
        return stored_outcome(cutout_id, row.outcomes[0].json)

    def close(self, cutout_id: str, kept: float) -> bool:
        row, outcome = self._state.find(cutout_id), self.outcome(cutout_id)
        if row is None or (outcome is None and row.state != "cancelling"):
            return False
        row.cutout_outcome = outcome
        self._batches.discard(cutout_id, kept)
        return True
