"""The lines of a batch, in memory."""

from collections.abc import Iterable
from itertools import islice

from contract.batch import State
from contract.errors import ErrorCode
from contract.ledger.memory.state import MemoryLine, MemoryState
from contract.ledger.records import (
    MAX_OUTSTANDING,
    RESULT_OK,
    Claim,
    ClaimRefused,
    Issued,
    Unclaimed,
)
from contract.outcome import AttemptResult, Outcome, OutcomeRow, Status


class MemoryLines:
    """See `contract.ledger.protocol.Lines`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    # called by the dispatcher

    def issue(
        self, batch: str, limit: int, window: int, timeout: float,
        max_outstanding: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        now, row = self._state.clock(), self._state.find(batch)
        taken: list[int] = []
        if row and row.state == "open":
            active = len(row.outstanding("issued")) + len(row.outstanding("claimed"))
            room = min(limit, window - active, max_outstanding - len(row.outstanding()))
            while len(taken) < room and row.cursor < row.spec.total:
                line = row.lines.get(row.cursor, MemoryLine())
                if row.cursor not in row.settled and not line.where:
                    line.move("issued", now + timeout)
                    row.lines[row.cursor] = line
                    taken.append(row.cursor)
                row.cursor += 1
        return Issued(now, taken, [], more=len(taken) == limit)

    def reissue(
        self, batch: str, limit: int, timeout: float, grace: float, oldest: tuple[str, str],
        window: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        now, row = self._state.clock(), self._state.find(batch)
        if row is None or row.state != "open":
            return Issued(now, [], [], more=False)
        before = {
            "deferred": now,
            "claimed": now,
            "issued": _lost_before(now, timeout, grace, oldest[0]),
            "quarantined": _lost_before(now, timeout, grace, oldest[1]),
        }
        room = max(0, window - len(row.outstanding("issued")) - len(row.outstanding("claimed")))
        due = [
            pair
            for where in before
            for pair in row.outstanding(where)[: room if where == "deferred" else None]
            if pair[1].due < before[where]
        ]
        issued = Issued(now, [], [], more=len(due) >= limit)
        for number, line in due[:limit]:
            line.move("quarantined" if line.crashed else "issued", now + timeout)
            (issued.quarantine if line.crashed else issued.bulk).append(number)
        return issued

    def unclaimed(self, batch: str, start: int, limit: int) -> Unclaimed:
        now, row = self._state.clock(), self._state.find(batch)
        if row is None:
            return Unclaimed({}, start)
        unsettled = (line for line in range(start, row.spec.total) if line not in row.settled)
        looked_at = list(islice(unsettled, limit))
        lines = {line: row.lines.get(line, MemoryLine()) for line in looked_at}
        attempts = {
            number: line.crash_count + line.retries
            for number, line in lines.items()
            if line.where != "claimed" or line.due <= now
        }
        return Unclaimed(attempts, looked_at[-1] + 1 if len(lines) == limit else row.spec.total)

    def unacknowledged(self) -> list[str]:
        return list(self._state.unacknowledged)

    # called by workers

    def claim(
        self, batch: str, line: int, token: str, lease: float, *, quarantine: bool
    ) -> Claim | ClaimRefused:
        now, row = self._state.clock(), self._state.find(batch)
        repeated = row and line in row.lines and row.lines[line].token == token
        if row is None or (row.state != "open" and not repeated):
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

    def renew(self, batch: str, line: int, token: str, lease: float) -> bool:
        row = self._state.find(batch)
        entry = row.lines.get(line) if row else None
        if entry is None or entry.token != token:
            return False
        entry.due = self._state.clock() + lease
        return True

    def record_crash(self, batch: str, line: int, token_prefix: str, cause: str) -> bool:
        row = self._state.find(batch)
        entry = row.lines.get(line) if row else None
        if entry is None or not entry.token or not entry.token.startswith(token_prefix):
            return False
        entry.token, entry.due = "", 0
        entry.crash_causes = ", ".join(filter(None, [entry.crash_causes, cause]))
        return True

    def defer(
        self, batch: str, line: int, token: str, delay: float, code: str, worker: str = ""
    ) -> int:
        row = self._state.find(batch)
        entry = row.lines.get(line) if row and row.state != "closed" else None
        if row is None or entry is None or entry.token != token:
            return 0
        entry.move("deferred", self._state.clock() + delay)
        entry.crash_count, entry.crash_causes = 0, ""
        entry.retries += 1
        now = int(self._state.clock())
        row.recent_results.appendleft(AttemptResult(code, worker, now))
        row.storage_errors += code == ErrorCode.STORAGE_UNAVAILABLE
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
        self._state.settled_counts[outcome.status] += 1
        if outcome.status is Status.FAILED:
            row.failed.add(outcome.line)
        json = outcome.model_dump_json(exclude_defaults=True)
        row.outcomes.append(OutcomeRow(self._state.next_row(row.outcomes), row.epoch, json))
        now = int(self._state.clock())
        row.recent_results.appendleft(AttemptResult(result, outcome.worker, now))
        return True

    def finish_all(
        self,
        batch: str,
        outcomes: Iterable[Outcome],
        result: str = RESULT_OK,
        state: State | None = None,
    ) -> int:
        row = self._state.find(batch)
        if row is None or state not in {None, row.state}:
            return 0
        return sum(self.finish(batch, outcome, result) for outcome in outcomes)

    # outcome rows

    def outcomes(self, batch: str, limit: int) -> list[OutcomeRow]:
        row = self._state.find(batch)
        return row.outcomes[:limit] if row else []

    def newest_outcomes(self, batch: str, before: str, limit: int) -> list[OutcomeRow]:
        row = self._state.find(batch)
        rows = [x for x in row.outcomes if not before or _is_before(x.id, before)] if row else []
        return rows[::-1][:limit]

    def drop_outcomes(self, batch: str, last: str) -> None:
        if row := self._state.find(batch):
            row.outcomes = [entry for entry in row.outcomes if _is_before(last, entry.id)]


def _is_before(one: str, other: str) -> bool:
    """Return whether a row ID is lower than another."""
    first, second = ([int(part) for part in row.split("-")] for row in (one, other))
    return first < second


def _claimed(entry: MemoryLine, crash_count: int) -> Claim:
    return Claim(crash_count, crash_count + entry.retries + 1, entry.crash_causes)


def _lost_before(now: float, timeout: float, grace: float, oldest: str) -> float:
    """Return before when a line must be overdue to count as lost; see `reissue.lua`."""
    return (min(now, float(oldest) + timeout) if oldest else now) - grace
