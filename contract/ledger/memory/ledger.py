"""The ledger in memory. One process, one thread.

It never raises `redis_unavailable`. Nothing publishes messages here: a test sets `queues`.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from contract.ledger.memory.batches import MemoryBatches
from contract.ledger.memory.cutouts import MemoryCutouts
from contract.ledger.memory.lines import MemoryLines
from contract.ledger.memory.listings import MemoryListings
from contract.ledger.memory.state import MemoryState
from contract.ledger.protocol import Ledger
from contract.ledger.records import WORKER_SILENT_SECONDS, QueueState, Worker


class MemoryLedger:
    """See `contract.ledger.protocol.Ledger`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock`: returns Unix seconds; a test may pass its own to let time pass."""
        self.state = MemoryState(clock)
        self.batches = MemoryBatches(self.state)
        self.cutouts = MemoryCutouts(self.state, self.batches)
        self.listings = MemoryListings(self.state)
        self.lines = MemoryLines(self.state)
        self.workers = MemoryWorkers(self.state)

    def ping(self) -> None:
        pass

    def sync(self) -> bool:
        return True

    def acquire_lease(self, token: str, seconds: float) -> bool:
        return self.state.lease.take(token, self.state.clock(), seconds)

    def has_dispatcher(self) -> bool:
        return self.state.lease.expires > self.state.clock()

    def release_lease(self, token: str) -> None:
        self.state.lease.release(token)


class MemoryWorkers:
    """See `contract.ledger.protocol.Workers`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._workers: dict[str, tuple[Worker, float]] = {}

    def register(self, worker: Worker) -> None:
        self._workers[worker.name] = (worker, self._state.clock() + WORKER_SILENT_SECONDS)

    def unregister(self, name: str) -> None:
        self._workers.pop(name, None)

    def list(self) -> list[Worker]:
        now = self._state.clock()
        rows = [worker for worker, expires in self._workers.values() if expires > now]
        return sorted(rows, key=lambda worker: worker.name)

    def share_settings(self, values: dict[str, str]) -> dict[str, str]:
        now = self._state.clock()
        stored, expires = self._state.shared_settings
        if expires <= now or stored == values:
            stored = dict(values)
            self._state.shared_settings = (stored, now + WORKER_SILENT_SECONDS)
        return stored

    def shared_settings(self) -> dict[str, str]:
        stored, expires = self._state.shared_settings
        return stored if expires > self._state.clock() else {}

    def clock_skew(self) -> float:
        return time.time() - self._state.clock()

    def queue_length(self, queue: str) -> int:
        return len(self._state.queues.get(queue, []))

    def queue_states(self, queues: Iterable[str]) -> dict[str, QueueState]:
        return {queue: self._queue_state(queue) for queue in queues}

    def _queue_state(self, queue: str) -> QueueState:
        issued = self._state.queues.get(queue, [])
        age = max(0.0, self._state.clock() - float(issued[0])) if issued else 0.0
        return QueueState(len(issued), age)

    def count_dropped_message(self) -> None:
        self._state.dropped_messages += 1

    def dropped_messages(self) -> int:
        return self._state.dropped_messages


if TYPE_CHECKING:
    _: Ledger = MemoryLedger()
