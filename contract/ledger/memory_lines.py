"""What the in-memory ledger holds of a batch, and the operations on its lines."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from contract.batch import BatchSpec, State
from contract.errors import ErrorCode, PermanentError
from contract.ledger.protocol import RECENT_RESULTS, RESULT_OK, Claim, ClaimRefused, Issued
from contract.outcome import Outcome, Status

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
    closed: float | None = None
    stalled_reason: str = ""
    retry_at: float | None = None
    cutout_outcome: Outcome | None = None
    lines: dict[int, MemoryLine] = field(default_factory=dict)
    outcomes: list[tuple[int, str]] = field(default_factory=list)
    """(row number, outcome as JSON), oldest first"""
    recent_results: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_RESULTS))

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
        self.lease = ("", 0.0)
        """the dispatcher's token, and until when it holds; Unix seconds"""
        self._batches: dict[str, MemoryBatch] = {}
        self._rows = 0

    def holds_lease(self, token: str) -> bool:
        return self.lease[0] == token and self.lease[1] > self.clock()

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

    def next_row(self) -> int:
        self._rows += 1
        return self._rows


class MemoryLines:
    """See `contract.ledger.protocol.Lines`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    # called by the dispatcher

    def issue(self, batch: str, limit: int, window: int, timeout: float) -> Issued:
        now, row = self._state.clock(), self._state.find(batch)
        taken: list[int] = []
        if row and row.state == "open":
            room = min(limit, window - len(row.outstanding()))
            while len(taken) < room and row.cursor < row.spec.total:
                line = row.lines.get(row.cursor, MemoryLine())
                if row.cursor not in row.settled and not line.where:
                    line.move("issued", now + timeout)
                    row.lines[row.cursor] = line
                    taken.append(row.cursor)
                row.cursor += 1
        return Issued(now, taken, [])

    def reissue(
        self, batch: str, limit: int, timeout: float, grace: float, oldest: tuple[str, str]
    ) -> Issued:
        now, row = self._state.clock(), self._state.find(batch)
        issued = Issued(now, [], [])
        if row is None or row.state != "open":
            return issued
        before = {
            "deferred": now,
            "claimed": now,
            "issued": _lost_before(now, timeout, grace, oldest[0]),
            "quarantined": _lost_before(now, timeout, grace, oldest[1]),
        }
        due = [
            pair
            for where in before
            for pair in row.outstanding(where)
            if pair[1].due < before[where]
        ]
        for number, line in due[:limit]:
            line.move("quarantined" if line.crashed else "issued", now + timeout)
            (issued.quarantine if line.crashed else issued.bulk).append(number)
        return issued

    def oldest_queued(self, queue: str) -> str:
        return next(iter(self._state.queues.get(queue, [])), "")

    def unacknowledged(self) -> list[str]:
        return list(self._state.unacknowledged)

    # called by workers

    def claim(
        self, batch: str, line: int, token: str, lease: float, *, quarantine: bool
    ) -> Claim | ClaimRefused:
        now, row = self._state.clock(), self._state.find(batch)
        if row is None or row.state != "open":
            return ClaimRefused("stopped")
        if line in row.settled:
            row.duplicates += 1
            return ClaimRefused("settled")
        entry = row.lines.setdefault(line, MemoryLine())
        if entry.token == token:  # a call repeated after a broken connection
            return _claimed(entry, entry.crash_count - 1)
        if entry.token and entry.due > now:
            row.duplicates += 1
            return ClaimRefused("held")
        if entry.crashed and not quarantine:
            entry.move("deferred", now)
            return ClaimRefused("quarantined")
        entry.where, entry.due, entry.token = "claimed", now + lease, token
        entry.crash_count += 1
        return _claimed(entry, entry.crash_count - 1)

    def record_crash(self, batch: str, line: int, token_prefix: str, cause: str) -> bool:
        row = self._state.find(batch)
        entry = row.lines.get(line) if row else None
        if entry is None or not entry.token or not entry.token.startswith(token_prefix):
            return False
        entry.token, entry.due = "", 0
        entry.crash_causes = ", ".join(filter(None, [entry.crash_causes, cause]))
        return True

    def defer(self, batch: str, line: int, token: str, delay: float, code: str) -> int:
        row = self._state.find(batch)
        entry = row.lines.get(line) if row and row.state != "closed" else None
        if row is None or entry is None or entry.token != token:
            return 0
        entry.move("deferred", self._state.clock() + delay)
        entry.crash_count, entry.crash_causes = 0, ""
        entry.retries += 1
        row.recent_results.appendleft(code)
        return entry.retries

    def finish(self, batch: str, outcome: Outcome, result: str = RESULT_OK) -> bool:
        row = self._state.find(batch)
        if row is None or row.state == "closed":
            return False
        row.lines.pop(outcome.line, None)
        if outcome.line in row.settled:
            row.duplicates += 1
            return False
        row.settled.add(outcome.line)
        row.counts[outcome.status] += 1
        if outcome.status is Status.FAILED:
            row.failed.add(outcome.line)
        json = outcome.model_dump_json(exclude_defaults=True)
        row.outcomes.append((self._state.next_row(), json))
        row.recent_results.appendleft(result)
        return True

    def finish_all(self, batch: str, outcomes: Iterable[Outcome], result: str = RESULT_OK) -> int:
        return sum(self.finish(batch, outcome, result) for outcome in outcomes)

    # outcome rows

    def outcomes(self, batch: str, limit: int) -> list[tuple[str, str]]:
        row = self._state.find(batch)
        return [(f"0-{number}", json) for number, json in row.outcomes[:limit]] if row else []

    def drop_outcomes(self, batch: str, last: str) -> None:
        if row := self._state.find(batch):
            number = int(last.partition("-")[2])
            row.outcomes = [entry for entry in row.outcomes if entry[0] > number]


def _claimed(entry: MemoryLine, crash_count: int) -> Claim:
    return Claim(crash_count, crash_count + entry.retries + 1, entry.crash_causes)


def _lost_before(now: float, timeout: float, grace: float, oldest: str) -> float:
    """Return before when a line must be overdue to count as lost; see `reissue.lua`."""
    return (min(now, float(oldest) + timeout) if oldest else now) - grace
