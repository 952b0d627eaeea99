"""Listings and the names of batches, in memory."""

from contract.batch import BatchSpec
from contract.ledger.memory.state import MemoryBatch, MemoryState
from contract.ledger.records import (
    CLOSED_KEPT_SECONDS,
    LISTING_LEASE_SECONDS,
    NAME_KEPT_SECONDS,
    REGISTERING_KEPT_SECONDS,
    NamedBatch,
)
from contract.outcome import Status


class MemoryListings:
    """See `contract.ledger.protocol.Listings`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._names: dict[str, tuple[NamedBatch, float]] = {}

    def reserve_name(self, name: str, digest: str, batch: str) -> NamedBatch:
        now = self._state.clock()
        named, expires = self._names.get(name, (NamedBatch("", ""), 0))
        if expires <= now:
            named = NamedBatch(digest, batch)
            self._names[name] = (named, now + NAME_KEPT_SECONDS)
        return named

    def release_name(self, name: str, digest: str, batch: str) -> None:
        if name in self._names and self._names[name][0] == NamedBatch(digest, batch):
            del self._names[name]

    def begin(self, spec: BatchSpec) -> bool:
        if self._state.find(spec.id):
            return False
        expires = self._state.clock() + REGISTERING_KEPT_SECONDS
        self._state.add(MemoryBatch(spec, dict.fromkeys(Status, 0), set(), set(), expires))
        return True

    def ids(self) -> list[str]:
        return sorted(row.spec.id for row in self._state.all() if row.state == "registering")

    def acquire(self, batch: str, token: str) -> bool:
        return self._renew(batch, token, "") is not None

    def record(self, batch: str, token: str, lines: int, stalled_reason: str = "") -> bool:
        row = self._renew(batch, token, stalled_reason)
        if row:
            row.spec = row.spec.model_copy(update={"total": lines})
        return row is not None

    def complete(self, spec: BatchSpec, token: str) -> bool:
        row = self._renew(spec.id, token, "")
        if row:
            row.spec, row.counts = spec, dict.fromkeys(Status, 0)
            for rest in (row.settled, row.failed, row.lines, row.outcomes):
                rest.clear()
        return row is not None

    def _renew(self, batch: str, token: str, reason: str) -> MemoryBatch | None:
        row, now = self._state.find(batch), self._state.clock()
        if row is None or row.state != "registering":
            return None
        holder, until = row.lister
        if holder not in {"", token} and until > now:
            return None
        row.lister = (token, now + LISTING_LEASE_SECONDS)
        row.expires = now + REGISTERING_KEPT_SECONDS
        row.stalled_reason = reason
        return row

    def release(self, batch: str, token: str) -> None:
        row = self._state.find(batch)
        if row and row.lister[0] == token:
            row.lister = ("", 0.0)

    def fail(self, batch: str, reason: str, token: str = "") -> bool:
        row, now = self._state.find(batch), self._state.clock()
        if row is None or row.state != "registering":
            return False
        holder, until = row.lister
        if token and (holder != token or until <= now):
            return False
        row.state, row.stalled_reason, row.closed = "failed", reason, now
        row.expires = now + CLOSED_KEPT_SECONDS
        if row.spec.has_callback:
            self._state.callbacks.append(f"{batch}:{row.epoch}")
        return True
