"""What happens to a line of a batch: issued, claimed, put back, settled.

A line that is not settled is in one place at most: issued (its message is in the broker),
quarantined (likewise, in the quarantine queue), claimed (a worker has it in hand, under a lease) or
deferred (it waits for its next try). All of that is bounded by the window and may be lost with no
harm beyond a repeated try. A line is settled by one bit, once; counters and outcome rows change
only together with it. All times are Redis's own. The scripts in `lua/` document every key.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from contract import names
from contract.ledger.connection import Connection, translated
from contract.outcome import Outcome

ENDINGS_KEPT = 25
"""How many endings of attempts are kept of a batch, to tell when it had better stop."""
ENDED_WELL = "ok"

OUTSTANDING = "issued quarantined claimed deferred"
REST = f"{OUTSTANDING} holders strikes deaths attempts"


@dataclass(frozen=True, slots=True)
class Claim:
    """A line in hand: how often its process vanished before, and which attempt this is."""

    vanished: int
    attempt: int
    deaths: str
    """what ended those processes, where a worker saw it"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is nothing to do for a line."""

    why: str
    """`settled`, `held` by another run, `stopped` batch, `quarantine`: sent there"""


@dataclass(frozen=True, slots=True)
class Issue:
    """Lines to publish, and the moment that their messages have to carry."""

    moment: float
    bulk: list[int]
    quarantine: list[int]


class Lines:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._redis = connection.client

    def _run(self, script: str, batch: str, parts: str, *arguments: object) -> Any:
        keys = [names.redis_key(batch, "" if p == "batch" else p) for p in parts.split()]
        with translated():
            return self.connection.scripts[script](keys=keys, args=list(arguments))

    # the dispatcher's side

    def issue(self, batch: str, most: int, window: int, timeout: float) -> Issue:
        """Take the next lines for publishing, at most up to a full window."""
        parts = f"batch settled {OUTSTANDING}"
        moment, *lines = self._run("issue", batch, parts, most, window, timeout)
        return Issue(float(moment), [int(line) for line in lines], [])

    def reissue(
        self, batch: str, most: int, timeout: float, grace: float, oldest: tuple[str, str]
    ) -> Issue:
        """Take lines to publish again. `oldest`: as `oldest_waiting` says, bulk and quarantine."""
        parts = f"batch {OUTSTANDING} holders strikes deaths"
        moment, *pairs = self._run("reissue", batch, parts, most, timeout, grace, *oldest)
        marked = list(zip(pairs[::2], pairs[1::2], strict=True))
        return Issue(
            float(moment),
            [int(line) for line, struck in marked if not int(struck)],
            [int(line) for line, struck in marked if int(struck)],
        )

    def oldest_waiting(self, queue: str) -> str:
        """Return when the message next in line was issued; empty where none waits."""
        with translated():
            raw = self._redis.lindex(queue, -1)
        if not raw:
            return ""
        try:
            return str(float(json.loads(raw)["headers"]["issued"]))
        except (ValueError, KeyError, TypeError):
            return "0"  # none of ours: nothing can be said of what waits behind it

    def endings(self, batch: str) -> list[str]:
        """Return how the last attempts ended, by code or `ok`, newest first."""
        with translated():
            return list(self._redis.lrange(names.redis_key(batch, "endings"), 0, -1))

    def unacknowledged(self) -> list[str]:
        """Return the task ids of the messages that workers took and have not acknowledged."""
        with translated():
            rows = [raw for _, raw in self._redis.hscan_iter("unacked")]
        return [json.loads(raw)[0]["headers"]["id"] for raw in rows]

    # the worker's side

    def claim(
        self, batch: str, line: int, token: str, lease: float, *, quarantine: bool
    ) -> Claim | Refusal:
        """Take a line in hand for at most `lease` seconds, or say why not.

        `token` names this run; how it begins must name the message (see `vanish`).
        """
        why, *rest = self._run(
            "claim", batch, f"batch settled {REST}", line, token, lease, int(quarantine)
        )
        if why != "claimed":
            return Refusal(why)
        vanished, retries, deaths = rest
        return Claim(int(vanished), int(vanished) + int(retries) + 1, deaths)

    def vanish(self, batch: str, line: int, message: str, cause: str) -> bool:
        """Say that the process that had a message's line in hand is gone, and what ended it."""
        return bool(self._run("vanish", batch, "claimed holders deaths", line, message, cause))

    def defer(self, batch: str, line: int, token: str, delay: float, code: str) -> int:
        """Put a line back for a later try. Returns the orderly retries so far."""
        parts = "batch settled claimed deferred holders strikes deaths attempts endings"
        return int(self._run("defer", batch, parts, line, token, delay, code, ENDINGS_KEPT))

    def finish(self, batch: str, outcome: Outcome, ending: str = ENDED_WELL) -> bool:
        """Settle a line. Returns False where it was settled before.

        `ending`: the code of what went wrong, where that tells something of the world around.
        """
        return bool(self.finish_all(batch, [outcome], ending))

    def finish_all(self, batch: str, outcomes: Iterable[Outcome], ending: str = ENDED_WELL) -> int:
        """Settle lines in one exchange. Returns how many were not settled before."""
        parts = f"batch settled {REST} outcomes endings".split()
        keys = [names.redis_key(batch, "" if part == "batch" else part) for part in parts]
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for outcome in outcomes:
                row = outcome.model_dump_json(exclude_defaults=True)
                arguments = [outcome.line, outcome.status, row, ending, ENDINGS_KEPT]
                self.connection.scripts["finish"](keys=keys, args=arguments, client=pipe)
            return sum(int(answer) for answer in pipe.execute())
