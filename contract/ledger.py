"""Who has what, and what is settled.

A line of a batch is settled by one bit, once: counters and outcome rows change only together
with it. Everything else here (issued, strikes, attempts) is small, bounded by the window, and
may be lost with no harm beyond a repeated try. The scripts in `lua/` document every key.
"""

import json
import time
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from contract import names
from contract.connection import Connection, translated
from contract.errors import ErrorCode, PermanentError
from contract.outcome import Outcome
from contract.recipe import Recipe

CLOSED_KEPT_SECONDS = 30 * 24 * 3600


class BatchSpec(BaseModel):
    """What a batch is, fixed when it is registered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    source: str
    destination: str
    recipe: Recipe
    force: bool = False
    created: float
    total: int
    ignored: int = 0
    segment_lines: int


@dataclass(frozen=True, slots=True)
class Progress:
    spec: BatchSpec
    state: Literal["registering", "open", "closed"]
    done: int
    skipped: int
    failed: int
    issued: int
    closed: float | None
    trouble: str
    """why the batch does not move on, where the dispatcher knows"""

    @property
    def settled(self) -> int:
        return self.done + self.skipped + self.failed


@dataclass(frozen=True, slots=True)
class Claim:
    """A line in hand: how often its process vanished before, and which attempt this is."""

    vanished: int
    attempt: int


class Ledger:
    def __init__(self, url: str, patience: int = 8) -> None:
        """Connect lazily. `patience` retries, up to 2 s apart, ride out a restart of Redis."""
        self.connection = Connection(url, patience)
        self._redis = self.connection.client

    def _run(self, script: str, batch: str, parts: str, *arguments: object) -> Any:
        keys = [names.redis_key(batch, "" if p == "batch" else p) for p in parts.split()]
        with translated():
            return self.connection.scripts[script](keys=keys, args=list(arguments))

    def ping(self) -> None:
        """Raise RetryableError or PermanentError (`redis_unavailable`) unless Redis answers."""
        with translated():
            self._redis.ping()

    # a batch

    def register(self, spec: BatchSpec) -> None:
        """Make a batch known. Nothing of it is published until `open`."""
        with translated(), self._redis.pipeline() as pipe:
            pipe.hset(
                names.redis_key(spec.id),
                mapping={
                    "spec": spec.model_dump_json(), "state": "registering", "total": spec.total,
                    "cursor": 0, "done": 0, "skipped": 0, "failed": 0,
                },
            )  # fmt: skip
            pipe.zadd(names.ALL_BATCHES, {spec.id: spec.created})
            pipe.execute()

    def open(self, batch: str) -> None:
        with translated(), self._redis.pipeline() as pipe:
            pipe.hset(names.redis_key(batch), "state", "open")
            pipe.sadd(names.OPEN_BATCHES, batch)
            pipe.execute()

    def close(self, batch: str) -> None:
        """End a batch. Its counters stay readable for 30 days; its report stays for good."""
        key = names.redis_key(batch)
        with translated(), self._redis.pipeline() as pipe:
            pipe.hset(key, mapping={"state": "closed", "closed": time.time()})
            pipe.srem(names.OPEN_BATCHES, batch)
            for part in ("settled", "issued", "strikes", "attempts", "outcomes"):
                pipe.delete(names.redis_key(batch, part))
            pipe.expire(key, CLOSED_KEPT_SECONDS)
            pipe.execute()

    def note_trouble(self, batch: str, why: str) -> None:
        """Say for `status` and `watch` why a batch does not move on; empty when it does."""
        with translated():
            self._redis.hset(names.redis_key(batch), "trouble", why)

    def open_batches(self) -> list[str]:
        with translated():
            return sorted(self._redis.smembers(names.OPEN_BATCHES))

    def batches(self) -> list[str]:
        """Return every batch still known, newest first."""
        with translated():
            self._redis.zremrangebyscore(
                names.ALL_BATCHES, "-inf", time.time() - 2 * CLOSED_KEPT_SECONDS
            )
            ids = self._redis.zrange(names.ALL_BATCHES, 0, -1, desc=True)
            return [i for i in ids if self._redis.exists(names.redis_key(i))]

    def progress(self, batch: str) -> Progress:
        """Return a batch's counters. Raises PermanentError (`batch_unknown`)."""
        with translated(), self._redis.pipeline() as pipe:
            pipe.hgetall(names.redis_key(batch))
            pipe.zcard(names.redis_key(batch, "issued"))
            row, issued = pipe.execute()
        if not row:
            raise PermanentError(ErrorCode.BATCH_UNKNOWN, f"There is no batch {batch!r}.")
        return Progress(
            spec=BatchSpec.model_validate_json(row["spec"]),
            state=row["state"],
            done=int(row["done"]),
            skipped=int(row["skipped"]),
            failed=int(row["failed"]),
            issued=issued,
            closed=float(row["closed"]) if "closed" in row else None,
            trouble=row.get("trouble", ""),
        )

    # the dispatcher's side

    def issue(self, batch: str, most: int, window: int, due: float) -> list[int]:
        """Take the next lines for publishing, at most up to a full window."""
        lines = self._run("issue", batch, "batch settled issued", most, window, due)
        return [int(line) for line in lines]

    def reissue(self, batch: str, due_before: float, due: float, most: int) -> list[int]:
        """Take lines that fell due, before that moment, unsettled."""
        return [int(line) for line in self._run("reissue", batch, "issued", due_before, due, most)]

    def forget_messages(self, queue: str) -> None:
        """Drop what an earlier stack left in the broker, and let every issued line fall due.

        Only for a Redis of our own with no worker running: the ledger knows every line, so the
        dispatcher issues them again at once instead of after a visibility timeout.
        """
        with translated():
            self._redis.delete(queue, "unacked", "unacked_index", "unacked_mutex")
            for batch in self.open_batches():
                issued = names.redis_key(batch, "issued")
                if lines := self._redis.zrange(issued, 0, -1):
                    self._redis.zadd(issued, dict.fromkeys(lines, 0))
                # no process vanished on these: we stopped them
                self._redis.delete(names.redis_key(batch, "strikes"))

    def oldest_waiting(self, queue: str) -> float | None:
        """Return when the message next in line was issued, or None where none waits.

        Queues are first in, first out: a line issued before that moment waits no longer.
        """
        with translated():
            raw = self._redis.lindex(queue, -1)
        if not raw:
            return None
        try:
            return float(json.loads(raw)["headers"]["issued"])
        except (ValueError, KeyError, TypeError):
            return 0.0  # none of ours: nothing can be said of what waits behind it

    def outcomes(self, batch: str, most: int) -> list[tuple[str, str]]:
        """Return the oldest undrained rows as (stream id, outcome JSON)."""
        with translated():
            entries = self._redis.xrange(names.redis_key(batch, "outcomes"), count=most)
        return [(entry, fields["row"]) for entry, fields in entries]

    def waiting_outcomes(self, batch: str) -> int:
        with translated():
            return int(self._redis.xlen(names.redis_key(batch, "outcomes")))

    def drop_outcomes(self, batch: str, last: str) -> None:
        """Forget drained rows up to and with `last`."""
        millis, _, number = last.partition("-")
        with translated():
            self._redis.xtrim(
                names.redis_key(batch, "outcomes"),
                minid=f"{millis}-{int(number) + 1}",
                approximate=False,
            )

    def hold_lease(self, token: str, seconds: float) -> bool:
        with translated():
            return bool(
                self.connection.scripts["lease"](
                    keys=[names.DISPATCHER_LEASE], args=[token, int(seconds * 1000)]
                )
            )

    def drop_lease(self, token: str) -> None:
        with translated():
            if self._redis.get(names.DISPATCHER_LEASE) == token:
                self._redis.delete(names.DISPATCHER_LEASE)

    # the worker's side

    def claim(self, batch: str, line: int, due: float) -> Claim | None:
        """Take a line in hand, or return None where there is nothing left to do for it."""
        answer = self._run("claim", batch, "batch settled issued strikes attempts", line, due)
        if not answer:
            return None
        strikes, retries = answer
        return Claim(vanished=strikes - 1, attempt=strikes + retries)

    def finish(self, batch: str, outcome: Outcome) -> bool:
        """Settle a line. Returns False where it was settled before."""
        return bool(
            self._run(
                "finish", batch, "batch settled issued strikes attempts outcomes",
                outcome.line, outcome.status, outcome.model_dump_json(exclude_defaults=True),
            )
        )  # fmt: skip

    def defer(self, batch: str, line: int, due: float) -> int:
        """Put a line back for a later try. Returns the orderly retries so far."""
        return int(self._run("defer", batch, "batch settled issued strikes attempts", line, due))
