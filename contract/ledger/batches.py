"""Batches in Redis: a hash and a bitmap each, and the sets that index them."""

import time
from collections.abc import Callable, Iterable
from itertools import compress
from typing import Any, Literal, cast

from contract import names
from contract.batch import BatchSpec, Progress, Snapshot, State, stored_spec
from contract.errors import ErrorCode, PermanentError
from contract.ledger.batch_rows import (
    BATCH_KEYS,
    TEMPORARY_KEYS,
    attempt_result,
    batch_row,
    progress_of_row,
)
from contract.ledger.connection import Connection, translated
from contract.ledger.lines import (
    OUTSTANDING_KEYS,
    chunks,
    issued_at,
)
from contract.ledger.records import (
    CLOSED_KEPT_SECONDS,
    DELETED_KEPT_SECONDS,
    REGISTERING_KEPT_SECONDS,
    SCRIPT_LINES,
)
from contract.ledger.unreadable import OnUnreadable, leaving_out, log_unreadable
from contract.outcome import AttemptResult, Status

REPORT_LEASE = "report_lease"
"""The key that says who writes the report. It expires by itself."""
PROGRESS_BATCHES = 100
"""Batches whose counters are read in one round trip."""


class RedisBatches:
    """See `contract.ledger.protocol.Batches`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._redis = connection.client

    def register(self, spec: BatchSpec) -> None:
        self.restore(spec, b"", b"", dict.fromkeys(Status, 0))

    def restore(
        self,
        spec: BatchSpec,
        settled: bytes,
        failed: bytes,
        counts: dict[Status, int],
        epoch: int = 0,
    ) -> None:
        key, settled_key, failed_key = keys = names.redis_keys(spec.id, BATCH_KEYS)
        row = batch_row(spec, counts, epoch)
        with translated(), self._redis.pipeline() as pipe:
            pipe.hset(key, mapping=row)
            pipe.set(settled_key, settled)
            pipe.set(failed_key, failed)
            pipe.zadd(names.ALL_BATCHES, {spec.id: spec.created})
            for one in keys:
                pipe.expire(one, REGISTERING_KEPT_SECONDS)
            pipe.execute()

    def open(self, batch: str) -> None:
        keys = [
            *names.redis_keys(batch, BATCH_KEYS), names.OPEN_BATCHES, names.REGISTERING,
            names.redis_key(batch, "lister"),
        ]  # fmt: skip
        if not self._connection.run("open", keys, batch):
            raise _unknown(batch)

    def close(self, batch: str, epoch: int, lease_token: str) -> bool:
        return self._close(batch, CLOSED_KEPT_SECONDS, epoch, lease_token)

    def discard(self, batch: str, kept: float = CLOSED_KEPT_SECONDS) -> None:
        self._close(batch, kept, "", "")

    def _close(self, batch: str, kept: float, epoch: int | Literal[""], lease_token: str) -> bool:
        keys = [
            *names.redis_keys(batch, BATCH_KEYS), names.OPEN_BATCHES,
            names.redis_key(batch, REPORT_LEASE), names.BATCH_CALLBACKS,
            *names.redis_keys(batch, TEMPORARY_KEYS),
        ]  # fmt: skip
        arguments = (batch, time.time(), kept, epoch, lease_token)
        return bool(self._connection.run("close", keys, *arguments))

    def lease_report(self, batch: str, token: str, seconds: float) -> bool:
        return bool(
            self._connection.run_for("lease", batch, [REPORT_LEASE], token, int(seconds * 1000))
        )

    def renew_report(self, batch: str, token: str, seconds: float) -> bool:
        milliseconds = int(seconds * 1000)
        return bool(
            self._connection.run_for("renew_lease", batch, [REPORT_LEASE], token, milliseconds)
        )

    def release_report(self, batch: str, token: str) -> None:
        self._connection.run_for("release_lease", batch, [REPORT_LEASE], token)

    def forget_closed(self, batch: str) -> bool:
        parts = (*BATCH_KEYS, *TEMPORARY_KEYS)
        return bool(self._connection.run_for("forget_closed", batch, parts))

    def mark_deleted(self, batch: str) -> None:
        with translated():
            self._redis.set(names.redis_key(batch, "deleted"), "1", ex=DELETED_KEPT_SECONDS)

    def forget(self, batch: str) -> None:
        with translated(), self._redis.pipeline() as pipe:
            pipe.srem(names.OPEN_BATCHES, batch)
            pipe.srem(names.REGISTERING, batch)
            pipe.unlink(*names.redis_keys(batch, (*BATCH_KEYS, *TEMPORARY_KEYS, "lister")))
            pipe.set(names.redis_key(batch, "deleted"), "1", ex=DELETED_KEPT_SECONDS)
            pipe.execute()

    def was_deleted(self, batch: str) -> bool:
        with translated():
            return bool(self._redis.exists(names.redis_key(batch, "deleted")))

    def pause(self, batch: str, reason: str) -> bool:
        return self._stop(batch, "paused", reason)

    def trip(self, batch: str, reason: str, retry_at: float | None) -> bool:
        return self._stop(batch, "paused", reason, retry_at, only_open=True)

    def cancel(self, batch: str) -> bool:
        return self._stop(batch, "cancelling", "")

    def _stop(
        self, batch: str, state: State, reason: str, retry_at: float | None = None,
        *, only_open: bool = False,
    ) -> bool:  # fmt: skip
        arguments = (state, reason, "" if retry_at is None else retry_at, int(only_open))
        return bool(self._connection.run_for("stop", batch, [""], *arguments))

    def reschedule(self, batch: str, change: Callable[[BatchSpec], BatchSpec]) -> BatchSpec | None:
        stored = -1
        while stored < 0:
            with translated():
                current = self._redis.hget(names.redis_key(batch), "spec")
            if current is None:
                return None
            spec = change(stored_spec(batch, current))
            texts = (spec.model_dump_json(), cast("str", current))
            stored = self._connection.run_for("reschedule", batch, [""], *texts)
        return spec if stored else None

    def resume(self, batch: str) -> int:
        return self._recall(batch, idle=False)

    def resume_tripped(self, batch: str) -> int:
        return self._recall(batch, idle=False, only_tripped=True)

    def reset_messages(self, *queues: str) -> None:
        with translated():
            unacknowledged = ("unacked", "unacked_index", "unacked_mutex")
            self._redis.unlink(*queues, *unacknowledged, names.SHARED_SETTINGS)
        for batch in self.open_ids():
            self._recall(batch, idle=True)

    def _recall(self, batch: str, *, idle: bool, only_tripped: bool = False) -> int:
        parts = ("", *OUTSTANDING_KEYS, "claim_tokens", "crash_count", "retries", "recent_results")
        more, waiting = 1, 0
        while more:
            more, waiting = self._connection.run_for(
                "recall", batch, parts, int(idle), SCRIPT_LINES, int(only_tripped)
            )
        return int(waiting)

    def reopen(self, batch: str, lines: Iterable[int], crash_causes: str = "") -> int:
        parts = ("", "settled", "crash_count", "crash_causes", "failed")
        keys = [*names.redis_keys(batch, parts), names.OPEN_BATCHES]
        return sum(
            int(self._connection.run("reopen", keys, batch, crash_causes, *chunk))
            for chunk in chunks(lines, SCRIPT_LINES)
        )

    def reopen_unreported(
        self, batch: str, epoch: int, counts: dict[Status, int] | None, lines: Iterable[int]
    ) -> bool:
        statuses = (Status.DONE, Status.SKIPPED, Status.FAILED)
        reported = [counts[status] if counts else "" for status in statuses]
        return bool(
            self._connection.run_for(
                "reopen_unreported", batch, BATCH_KEYS, epoch, *reported, *lines
            )
        )

    def set_stalled_reason(self, batch: str, reason: str) -> None:
        self._connection.run_for("set_stalled_reason", batch, [""], reason)

    def set_eta(self, batch: str, eta: float) -> None:
        self._connection.run_for("set_eta", batch, [""], eta)

    def open_ids(self) -> list[str]:
        with translated():
            return sorted(cast("set[str]", self._redis.smembers(names.OPEN_BATCHES)))

    def ids(self) -> list[str]:
        with translated():
            rows: Any = self._redis.zrange(names.ALL_BATCHES, 0, -1, desc=True, withscores=True)
            exist: list[int] = []
            for chunk in chunks(rows, SCRIPT_LINES):
                with self._redis.pipeline(transaction=False) as pipe:
                    for batch, _ in chunk:
                        pipe.exists(names.redis_key(batch))
                    exist += pipe.execute()
            # those that have expired, but none that is being restored right now
            oldest = time.time() - 2 * CLOSED_KEPT_SECONDS
            gone = (
                batch
                for (batch, created), exists in zip(rows, exist, strict=True)
                if not exists and created < oldest
            )
            for expired in chunks(gone, SCRIPT_LINES):
                self._redis.zrem(names.ALL_BATCHES, *expired)
        return [batch for batch, _ in compress(rows, exist)]

    def exists(self, batch: str) -> bool:
        with translated():
            return bool(self._redis.exists(names.redis_key(batch)))

    def progress(self, batch: str) -> Progress:
        if not names.is_batch_id(batch):  # as users type it
            raise _unknown(batch)
        [(row, sizes)] = self._rows([batch], transaction=True)
        if not row:
            raise _unknown(batch)
        return progress_of_row(batch, row, sizes)

    def progress_of(
        self, batches: Iterable[str], on_unreadable: OnUnreadable = log_unreadable
    ) -> list[Progress]:
        found = []
        for chunk in chunks(batches, PROGRESS_BATCHES):
            rows = self._rows(chunk, transaction=False)
            for batch, (row, sizes) in zip(chunk, rows, strict=True):
                with leaving_out(batch, on_unreadable):
                    if row:
                        found.append(progress_of_row(batch, row, sizes))
        return found

    def _rows(
        self, batches: list[str], *, transaction: bool
    ) -> list[tuple[dict[str, str], list[int]]]:
        """Return the hash of each batch, empty if unknown, and the sizes of OUTSTANDING_KEYS."""
        with translated(), self._redis.pipeline(transaction) as pipe:
            for batch in batches:
                pipe.hgetall(names.redis_key(batch))
                for key in names.redis_keys(batch, OUTSTANDING_KEYS):
                    pipe.zcard(key)
            answers = iter(pipe.execute())
        rows = zip(*[answers] * (1 + len(OUTSTANDING_KEYS)), strict=True)
        return [(row, sizes) for row, *sizes in rows]

    def snapshot(self, batch: str, queues: tuple[str, str]) -> Snapshot:
        outstanding = names.redis_keys(batch, OUTSTANDING_KEYS)
        with translated(), self._redis.pipeline() as pipe:
            pipe.time()
            pipe.hgetall(names.redis_key(batch))
            for key in outstanding:
                pipe.zcard(key)
            for key in outstanding:
                pipe.zrange(key, 0, 0, withscores=True)
            pipe.lrange(names.redis_key(batch, "recent_results"), 0, -1)
            pipe.xlen(names.redis_key(batch, "outcomes"))
            for queue in queues:
                pipe.lindex(queue, -1)
            (seconds, micros), row, *rest = pipe.execute()
        count = len(outstanding)
        sizes, earliest = rest[:count], rest[count : 2 * count]
        recent_results, undrained, first, second = rest[2 * count :]
        now = int(seconds) + int(micros) / 1e6
        if not row:
            raise _unknown(batch)
        progress = progress_of_row(batch, row, sizes)
        return Snapshot(
            progress=progress,
            recent_results=[attempt_result(entry) for entry in recent_results],
            undrained=int(undrained),
            all_issued=int(row.get("cursor", 0)) >= progress.spec.total,
            storage_errors=int(row.get("storage_errors", 0)),
            something_due=any(float(due) < now for lines in earliest for _, due in lines),
            oldest_queued=(issued_at(first), issued_at(second)),
        )

    def recent_results(self, batch: str) -> list[AttemptResult]:
        with translated():
            key = names.redis_key(batch, "recent_results")
            entries = cast("list[str]", self._redis.lrange(key, 0, -1))
        return [attempt_result(entry) for entry in entries]

    def settled_bits(self, batch: str) -> bytes:
        return self._bits(batch, "settled")

    def failed_bits(self, batch: str) -> bytes:
        return self._bits(batch, "failed")

    def _bits(self, batch: str, part: str) -> bytes:
        with translated():
            # the bits are not text: NEVER_DECODE keeps the client from decoding them
            redis: Any = self._redis
            bits = redis.execute_command("GET", names.redis_key(batch, part), NEVER_DECODE=[])
        return bits or b""

    def settled_counts(self) -> dict[Status, int]:
        with translated():
            counts = cast("dict[str, str]", self._redis.hgetall(names.SETTLED_COUNTS))
        return {status: int(counts.get(status, 0)) for status in Status}


def _unknown(batch: str) -> PermanentError:
    return PermanentError(ErrorCode.BATCH_UNKNOWN, f"There is no batch {batch!r}.")
