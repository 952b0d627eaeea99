"""Batches, and what may be said of them: registered, open, paused, closed."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.job import Single
from contract.ledger.connection import Connection, translated
from contract.ledger.lines import OUTSTANDING, REST, Lines
from contract.outcome import Outcome, Status
from contract.recipe import Recipe

CLOSED_KEPT_SECONDS = 30 * 24 * 3600
REGISTERING_KEPT_SECONDS = 24 * 3600
"""A `submit` that is killed on the way leaves a batch that nobody will open."""

State = Literal["registering", "open", "paused", "cancelling", "closed"]


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
    single: Single | None = None

    @property
    def segments(self) -> int:
        return -(-self.total // self.segment_lines)


@dataclass(frozen=True, slots=True)
class Progress:
    spec: BatchSpec
    state: State
    done: int
    skipped: int
    failed: int
    issued: int
    """lines handed out and not settled: in the broker, in hand, or waiting for a retry"""
    quarantined: int
    claimed: int
    duplicates: int
    """deliveries that found their line settled or in hand elsewhere"""
    closed: float | None
    trouble: str
    """why the batch does not move on, where that is known"""
    trial: float | None
    """when a paused batch is opened again for a trial; None: when a person says so"""

    @property
    def settled(self) -> int:
        return self.done + self.skipped + self.failed


class Ledger(Lines):
    def __init__(self, url: str, patience: int = 8, timeout: float = 30) -> None:
        """Connect lazily. `patience` retries, up to 2 s apart, ride out a restart of Redis."""
        super().__init__(Connection(url, patience, timeout))

    def ping(self) -> None:
        """Raise RetryableError or PermanentError (`redis_unavailable`) unless Redis answers."""
        with translated():
            self._redis.ping()

    def register(self, spec: BatchSpec) -> None:
        """Make a batch known. Nothing of it is published until `open`."""
        self.restore(spec, b"", dict.fromkeys(Status, 0))

    def restore(self, spec: BatchSpec, bits: bytes, counts: dict[Status, int]) -> None:
        """Make a batch known of which some lines are settled already (see `settled_bits`)."""
        key = names.redis_key(spec.id)
        row: dict[str, str | int] = {
            "spec": spec.model_dump_json(), "state": "registering", "total": spec.total,
            "cursor": 0, "duplicates": 0,
            **{status.value: count for status, count in counts.items()},
        }  # fmt: skip
        with translated(), self._redis.pipeline() as pipe:
            pipe.hset(key, mapping=row)
            pipe.set(names.redis_key(spec.id, "settled"), bits)
            for part in ("", "settled"):
                pipe.expire(names.redis_key(spec.id, part), REGISTERING_KEPT_SECONDS)
            if spec.single is None:
                pipe.zadd(names.ALL_BATCHES, {spec.id: spec.created})
            pipe.execute()

    def open(self, batch: str) -> None:
        with translated(), self._redis.pipeline() as pipe:
            for part in ("", "settled"):
                pipe.persist(names.redis_key(batch, part))
            pipe.hset(names.redis_key(batch), "state", "open")
            pipe.sadd(names.OPEN_BATCHES, batch)
            pipe.execute()

    def close(
        self, batch: str, *, unfinished: bool = False, kept: float = CLOSED_KEPT_SECONDS
    ) -> bool:
        """End a batch whose every line is settled, or one that cannot go on (`unfinished`).

        Returns False where lines are open, as a retry opens them. Counters stay readable for
        `kept` seconds; the report stays for good.
        """
        parts = ["", "settled", *REST.split(), "outcomes", "endings"]
        first, second, *rest = (names.redis_key(batch, part) for part in parts)
        keys = [first, second, names.OPEN_BATCHES, *rest]
        arguments = [batch, time.time(), kept, int(unfinished)]
        with translated():
            return bool(self.connection.scripts["close"](keys=keys, args=arguments))

    def forget(self, batch: str) -> None:
        """Drop all that is known of a batch. What is in hand ends as of no batch."""
        parts = ["", "settled", *REST.split(), "outcomes", "endings"]
        with translated(), self._redis.pipeline() as pipe:
            pipe.srem(names.OPEN_BATCHES, batch)
            pipe.delete(*(names.redis_key(batch, part) for part in parts))
            pipe.execute()

    def pause(self, batch: str, why: str, trial: float | None = None) -> bool:
        """Stop a batch until it is resumed. False where it is not open.

        `trial`: the moment at which the dispatcher may open it again by itself.
        """
        moment = "" if trial is None else trial
        return bool(self._run("stop", batch, "batch", "paused", why, moment))

    def cancel(self, batch: str) -> bool:
        """Have the dispatcher settle whatever is not settled yet, as failed by `cancelled`."""
        return bool(self._run("stop", batch, "batch", "cancelling", "", ""))

    def resume(self, batch: str) -> int:
        """Open a paused batch and take back its messages. Returns how many lines those were."""
        return self._recall(batch, idle=False)

    def reopen(self, batch: str, lines: Iterable[str]) -> int:
        """Open failed lines again (`line`, or `line:deaths` to run it in quarantine)."""
        parts = ("", "settled", "strikes", "deaths")
        keys = [*(names.redis_key(batch, part) for part in parts), names.OPEN_BATCHES]
        with translated():
            return int(self.connection.scripts["reopen"](keys=keys, args=[batch, *lines]))

    def forget_messages(self, *queues: str) -> None:
        """Drop what an earlier stack left in the broker, and let every line be issued again.

        Only for a Redis of our own with no worker running: no process vanished on the lines in
        hand, we stopped it. The ledger knows every line, so nothing waits for a timeout.
        """
        with translated():
            self._redis.delete(*queues, "unacked", "unacked_index", "unacked_mutex")
        for batch in self.open_batches():
            self._recall(batch, idle=True)

    def _recall(self, batch: str, *, idle: bool) -> int:
        parts = f"batch {OUTSTANDING} holders strikes attempts endings"
        return int(self._run("recall", batch, parts, int(idle)))

    # what is known

    def note_trouble(self, batch: str, why: str) -> None:
        """Say for `status` and `watch` why a batch does not move on; empty when it does."""
        self._run("trouble", batch, "batch", why)

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
            for part in OUTSTANDING.split():
                pipe.zcard(names.redis_key(batch, part))
            row, *outstanding = pipe.execute()
        if not row:
            raise PermanentError(ErrorCode.BATCH_UNKNOWN, f"There is no batch {batch!r}.")
        return Progress(
            spec=BatchSpec.model_validate_json(row["spec"]),
            state=row["state"],
            done=int(row["done"]),
            skipped=int(row["skipped"]),
            failed=int(row["failed"]),
            issued=sum(outstanding),
            quarantined=outstanding[1],
            claimed=outstanding[2],
            duplicates=int(row["duplicates"]),
            closed=float(row["closed"]) if "closed" in row else None,
            trouble=row.get("trouble", ""),
            trial=float(row["trial"]) if "trial" in row else None,
        )

    def knows(self, batch: str) -> bool:
        with translated():
            return bool(self._redis.exists(names.redis_key(batch)))

    def outcome(self, batch: str) -> Outcome | None:
        """Return how a single image ended, or None where it has not."""
        with translated(), self._redis.pipeline() as pipe:
            # at one moment: closing moves it from the stream to the counters
            pipe.hget(names.redis_key(batch), "outcome")
            pipe.xrange(names.redis_key(batch, "outcomes"), count=1)
            row, entries = pipe.execute()
        rows = [row] if row else [fields["row"] for _, fields in entries]
        return Outcome.model_validate_json(rows[0]) if rows else None

    def keep_outcome(self, batch: str, outcome: Outcome) -> None:
        """Keep how a single image ended beside its counters: it has no report."""
        with translated():
            self._redis.hset(names.redis_key(batch), "outcome", outcome.model_dump_json())

    def settled_bits(self, batch: str) -> bytes:
        """Return a bit a line, most significant first; bytes at the end may be missing."""
        with translated():
            # bits are no text: this option keeps the client from decoding them
            key = names.redis_key(batch, "settled")
            return self._redis.execute_command("GET", key, NEVER_DECODE=[]) or b""

    # outcome rows

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

    # whose turn it is to dispatch

    def hold_lease(self, token: str, seconds: float) -> bool:
        keys, arguments = [names.DISPATCHER_LEASE], [token, int(seconds * 1000)]
        with translated():
            return bool(self.connection.scripts["lease"](keys=keys, args=arguments))

    def drop_lease(self, token: str) -> None:
        with translated():
            if self._redis.get(names.DISPATCHER_LEASE) == token:
                self._redis.delete(names.DISPATCHER_LEASE)
