"""What the in-memory ledger stores: lines, batches and queued messages."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from contract.batch import BatchSpec, State
from contract.errors import ErrorCode, PermanentError
from contract.ledger.records import RECENT_RESULTS
from contract.outcome import AttemptResult, Outcome, OutcomeRow, Status

MAX_UNSEEN_CRASHES = 1
"""Crashes whose cause no worker saw before a line goes to quarantine: the first is more likely a
machine that was taken away than the image's fault."""


@dataclass
class MemoryLine:
    """An unsettled line, and the one set that it is in."""

    where: Literal["", "issued", "quarantined", "claimed", "deferred"] = ""
    """empty if the line is not outstanding"""
    due: float = 0
    """when it becomes overdue, its lease ends, or its retry is due; Unix seconds"""
    token: str = ""
    crash_count: int = 0
    crash_causes: str = ""
    retries: int = 0

    @property
    def crashed(self) -> bool:
        """True if the line belongs in quarantine."""
        return bool(self.crash_causes) or self.crash_count > MAX_UNSEEN_CRASHES

    def move(self, where: Literal["issued", "quarantined", "deferred"], due: float) -> None:
        """Put the line into a set in which no worker holds it."""
        self.where, self.due, self.token = where, due, ""


@dataclass
class MemoryLease:
    """A lease, and until when it holds (Unix seconds)."""

    token: str = ""
    expires: float = 0

    def held_by(self, token: str, now: float) -> bool:
        return self.token == token and self.expires > now

    def take(self, token: str, now: float, seconds: float) -> bool:
        """Take or renew it; return whether `token` holds it now."""
        if self.token not in {"", token} and self.expires > now:
            return False
        self.token, self.expires = token, now + seconds
        return True

    def release(self, token: str) -> None:
        if self.token == token:
            self.token, self.expires = "", 0


@dataclass
class MemoryBatch:
    """A batch, its unsettled lines and its outcome rows."""

    spec: BatchSpec
    counts: dict[Status, int]
    settled: set[int]
    failed: set[int]
    expires: float | None
    """Unix seconds; None: never"""
    state: State = "registering"
    cursor: int = 0
    epoch: int = 0
    duplicates: int = 0
    storage_errors: int = 0
    closed: float | None = None
    lister: tuple[str, float] = ("", 0.0)
    """token of the process that lists the source, and until when it may; Unix seconds"""
    stalled_reason: str = ""
    retry_at: float | None = None
    eta: float | None = None
    cutout_outcome: Outcome | None = None
    lines: dict[int, MemoryLine] = field(default_factory=dict)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    """oldest first"""
    report_lease: MemoryLease = field(default_factory=MemoryLease)
    recent_results: deque[AttemptResult] = field(
        default_factory=lambda: deque(maxlen=RECENT_RESULTS)
    )

    def outstanding(self, where: str = "") -> list[tuple[int, MemoryLine]]:
        """Return the lines of one set, or of all four, in the order in which they are due."""
        rows = [(n, x) for n, x in self.lines.items() if x.where and where in {"", x.where}]
        # at the same moment, by their digits, as a Redis sorted set does
        return sorted(rows, key=lambda row: (row[1].due, str(row[0])))


class MemoryState:
    """Everything that the parts of a MemoryLedger share."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.queues: dict[str, list[str]] = {}
        """queue -> when each of its messages was issued, oldest first"""
        self.unacknowledged: list[str] = []
        """task IDs"""
        self.callbacks: list[str] = []
        """due callbacks of batches, oldest first"""
        self.lease = MemoryLease()
        """the dispatcher's"""
        self.shared_settings: tuple[dict[str, str], float] = ({}, 0)
        """values, and until when they are kept; Unix seconds"""
        self.settled_counts = dict.fromkeys(Status, 0)
        self.dropped_messages = 0
        """images settled so far, of all batches"""
        self.deleted: dict[str, float] = {}
        """batch -> until when it is known that it was deleted; Unix seconds"""
        self._batches: dict[str, MemoryBatch] = {}
        self._rows = 0

    def add(self, batch: MemoryBatch) -> None:
        self._batches[batch.spec.id] = batch

    def remove(self, batch: str) -> None:
        self._batches.pop(batch, None)

    def find(self, batch: str) -> MemoryBatch | None:
        """Return a batch, or None if it is unknown or has expired."""
        row = self._batches.get(batch)
        if row and row.expires is not None and row.expires <= self.clock():
            self.remove(batch)
            return None
        return row

    def require(self, batch: str) -> MemoryBatch:
        """Return a batch. Raises PermanentError (`batch_unknown`)."""
        if row := self.find(batch):
            return row
        raise PermanentError(ErrorCode.BATCH_UNKNOWN, f"There is no batch {batch!r}.")

    def all(self) -> Iterator[MemoryBatch]:
        """Yield the batches that have not expired."""
        return filter(None, map(self.find, list(self._batches)))

    def next_row(self, rows: list[OutcomeRow]) -> str:
        """Return the ID of a row added to `rows`: higher than theirs, as in a stream of Redis."""
        last = int(rows[-1].id.partition("-")[0]) if rows else 0
        self._rows += 1
        return f"{max(last, int(self.clock() * 1000))}-{self._rows}"
