"""The lines of a batch in Redis. The scripts in `lua/` document every key."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from contract import names
from contract.batch import State
from contract.ledger.connection import Connection, translated
from contract.ledger.records import (
    MAX_OUTSTANDING,
    RECENT_RESULTS,
    RESULT_OK,
    SCRIPT_LINES,
    Claim,
    ClaimRefused,
    Issued,
    Unclaimed,
)
from contract.outcome import Outcome, OutcomeRow

OUTSTANDING_KEYS = ("issued", "quarantined", "claimed", "deferred")
"""The sorted sets that an unsettled line can be in, at most one at a time."""
LINE_KEYS = (*OUTSTANDING_KEYS, "claim_tokens", "crash_count", "crash_causes", "retries")
"""Every key that holds something about an unsettled line."""
FINISH_KEYS = ("", "settled", *LINE_KEYS, "outcomes", "recent_results", "failed")
DROPPED_ROWS = 1000
"""Rows that one command deletes; at least as many as a node of the stream holds, by default 100."""

T = TypeVar("T")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items as lists of up to `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


class RedisLines:
    """See `contract.ledger.protocol.Lines`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._redis = connection.client

    # called by the dispatcher

    def issue(
        self, batch: str, limit: int, window: int, timeout: float,
        max_outstanding: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        parts = ("", "settled", *OUTSTANDING_KEYS)
        moment, more, *lines = self._connection.run_for(
            "issue", batch, parts, limit, window, timeout, max_outstanding
        )
        return Issued(float(moment), [int(line) for line in lines], [], more=bool(int(more)))

    def reissue(
        self, batch: str, limit: int, timeout: float, grace: float, oldest: tuple[str, str],
        window: int = MAX_OUTSTANDING,
    ) -> Issued:  # fmt: skip
        parts = ("", *OUTSTANDING_KEYS, "claim_tokens", "crash_count", "crash_causes")
        moment, *pairs = self._connection.run_for(
            "reissue", batch, parts, limit, timeout, grace, *oldest, window
        )
        marked = list(zip(pairs[::2], pairs[1::2], strict=True))
        return Issued(
            float(moment),
            [int(line) for line, crashed in marked if not int(crashed)],
            [int(line) for line, crashed in marked if int(crashed)],
            more=len(marked) == limit,
        )

    def unclaimed(self, batch: str, start: int, limit: int) -> Unclaimed:
        parts = ("", "settled", "claimed", "crash_count", "retries")
        following, *found = self._connection.run_for("unclaimed", batch, parts, start, limit)
        return Unclaimed(dict(zip(found[::2], found[1::2], strict=True)), following)

    def unacknowledged(self) -> list[str]:
        with translated():
            rows = [raw for _, raw in self._redis.hscan_iter("unacked")]
        return [json.loads(raw)[0]["headers"]["id"] for raw in rows]

    # called by workers

    def claim(
        self, batch: str, line: int, token: str, lease: float, *, quarantine: bool
    ) -> Claim | ClaimRefused:
        parts = ("", "settled", *LINE_KEYS)
        answer, *rest = self._connection.run_for(
            "claim", batch, parts, line, token, lease, int(quarantine)
        )
        if answer != "claimed":
            return ClaimRefused(answer)
        crash_count, retries, crash_causes = rest
        return Claim(int(crash_count), int(crash_count) + int(retries) + 1, crash_causes)

    def renew(self, batch: str, line: int, token: str, lease: float) -> bool:
        parts = ("claimed", "claim_tokens")
        return bool(self._connection.run_for("renew", batch, parts, line, token, lease))

    def record_crash(self, batch: str, line: int, token_prefix: str, cause: str) -> bool:
        parts = ("claimed", "claim_tokens", "crash_causes")
        return bool(
            self._connection.run_for("record_crash", batch, parts, line, token_prefix, cause)
        )

    def defer(
        self, batch: str, line: int, token: str, delay: float, code: str, worker: str = ""
    ) -> int:
        parts = (
            "", "settled", "claimed", "deferred", "claim_tokens", "crash_count", "crash_causes",
            "retries", "recent_results",
        )  # fmt: skip
        return int(
            self._connection.run_for(
                "defer", batch, parts, line, token, delay, code, RECENT_RESULTS, worker
            )
        )

    def finish(self, batch: str, outcome: Outcome, result: str = RESULT_OK) -> bool:
        return bool(
            self._connection.run("finish", _finish_keys(batch), *_finished(outcome, result))
        )

    def finish_all(
        self,
        batch: str,
        outcomes: Iterable[Outcome],
        result: str = RESULT_OK,
        state: State | None = None,
    ) -> int:
        keys, finish = _finish_keys(batch), self._connection.scripts["finish"]
        settled = 0
        for chunk in chunks(outcomes, SCRIPT_LINES):
            with translated(), self._redis.pipeline(transaction=False) as pipe:
                for outcome in chunk:
                    arguments = [*_finished(outcome, result), state or ""]
                    finish(keys=keys, args=arguments, client=pipe)
                settled += sum(map(int, pipe.execute()))
        return settled

    # outcome rows

    def outcomes(self, batch: str, limit: int) -> list[OutcomeRow]:
        rows: list[OutcomeRow] = []
        oldest = "-"
        while len(rows) < limit:
            count = min(limit - len(rows), SCRIPT_LINES)
            with translated():
                entries: Any = self._redis.xrange(
                    names.redis_key(batch, "outcomes"), oldest, count=count
                )
            rows += _rows(entries)
            if len(entries) < count:
                break
            oldest = f"({rows[-1].id}"
        return rows

    def newest_outcomes(self, batch: str, before: str, limit: int) -> list[OutcomeRow]:
        newest = f"({before}" if before else "+"
        with translated():
            entries: Any = self._redis.xrevrange(
                names.redis_key(batch, "outcomes"), newest, count=limit
            )
        return _rows(entries)

    def drop_outcomes(self, batch: str, last: str) -> None:
        millis, _, number = last.partition("-")
        trim = partial(
            self._redis.xtrim,
            names.redis_key(batch, "outcomes"), minid=f"{millis}-{int(number) + 1}",
        )  # fmt: skip
        with translated():
            while trim(approximate=True, limit=DROPPED_ROWS):
                pass
            trim(approximate=False)  # by default less than a node of the stream


def _rows(entries: list[tuple[str, dict[str, str]]]) -> list[OutcomeRow]:
    return [OutcomeRow(entry, int(row["epoch"]), row["row"]) for entry, row in entries]


def _finish_keys(batch: str) -> list[str]:
    return [*names.redis_keys(batch, FINISH_KEYS), names.SETTLED_COUNTS]


def _finished(outcome: Outcome, result: str) -> list[str | int]:
    """Return the arguments of finish.lua."""
    row = outcome.model_dump_json(exclude_defaults=True)
    return [outcome.line, outcome.status, row, result, RECENT_RESULTS, outcome.worker]


def issued_at(message: str | None) -> str:
    """Return when a queued message was issued, as text; empty without a message.

    A message in another format counts as issued at 0, so nothing queued behind it counts as lost.
    """
    if not message:
        return ""
    try:
        return str(float(json.loads(message)["headers"]["issued"]))
    except (ValueError, KeyError, TypeError):
        return "0"
