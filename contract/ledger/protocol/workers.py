"""What a ledger knows of the running workers."""

from collections.abc import Iterable
from typing import Protocol

from contract.ledger.records import QueueState, Worker


class Workers(Protocol):
    """The registry of running workers. May be lost at any time."""

    def register(self, worker: Worker) -> None:
        """Record that a worker is running. Expires after WORKER_SILENT_SECONDS."""
        ...

    def unregister(self, name: str) -> None: ...

    def list(self) -> list[Worker]:
        """Return the registered workers by name."""
        ...

    def share_settings(self, values: dict[str, str]) -> dict[str, str]:
        """Store settings that all processes must share, unless others are stored; return what is.

        Equal ones are renewed: they are forgotten after WORKER_SILENT_SECONDS.
        """
        ...

    def shared_settings(self) -> dict[str, str]:
        """Return the settings that are stored."""
        ...

    def clock_skew(self) -> float:
        """Return how many seconds this machine's clock is ahead of the ledger's."""
        ...

    def queue_length(self, queue: str) -> int: ...

    def queue_states(self, queues: Iterable[str]) -> dict[str, QueueState]:
        """Return the state of each queue, in one round trip."""
        ...

    def count_dropped_message(self) -> None:
        """Count a message that no worker can process, and that one therefore dropped."""
        ...

    def dropped_messages(self) -> int:
        """Return how many messages were dropped so far."""
        ...
