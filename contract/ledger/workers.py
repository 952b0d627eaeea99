"""The registry of running workers, in Redis."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, cast

import structlog

from contract import names
from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.ledger.connection import Connection, translated
from contract.ledger.lines import issued_at
from contract.ledger.protocol import Workers
from contract.ledger.records import WORKER_SILENT_SECONDS, QueueState, Worker

log = structlog.get_logger(__name__)

MAX_SKEW_SECONDS = 5
"""The broker redelivers messages by the clock of the machine that looks. A clock far ahead makes
images run a second time while other workers still process them."""


WORKER_FIELDS = {field.name for field in fields(Worker)}


class WorkerRegistry:
    """See `contract.ledger.protocol.Workers`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._redis = connection.client

    def register(self, worker: Worker) -> None:
        with translated(), self._redis.pipeline() as pipe:
            row = json.dumps(asdict(worker))
            pipe.set(names.worker_key(worker.name), row, ex=WORKER_SILENT_SECONDS)
            pipe.sadd(names.WORKERS, worker.name)
            pipe.execute()

    def unregister(self, name: str) -> None:
        with translated(), self._redis.pipeline() as pipe:
            pipe.delete(names.worker_key(name))
            pipe.srem(names.WORKERS, name)
            pipe.execute()

    def list(self) -> list[Worker]:
        with translated():
            known = sorted(cast("set[str]", self._redis.smembers(names.WORKERS)))
            rows = self._redis.mget([names.worker_key(name) for name in known]) if known else []
            if gone := [name for name, row in zip(known, rows, strict=True) if row is None]:
                self._redis.srem(names.WORKERS, *gone)
        return [_worker(json.loads(row)) for row in rows if row is not None]

    def share_settings(self, values: dict[str, str]) -> dict[str, str]:
        pairs = [text for pair in values.items() for text in pair]
        rows = self._connection.run(
            "share_settings", [names.SHARED_SETTINGS], WORKER_SILENT_SECONDS, *pairs
        )
        return dict(zip(rows[::2], rows[1::2], strict=True))

    def shared_settings(self) -> dict[str, str]:
        with translated():
            rows: Any = self._redis.hgetall(names.SHARED_SETTINGS)
        return dict(rows)

    def count(self) -> int:
        """Return about how many workers are registered, without reading each."""
        with translated():
            return int(self._redis.scard(names.WORKERS))

    def clock_skew(self) -> float:
        before = time.time()
        with translated():
            seconds, micros = self._redis.time()
        return (before + time.time()) / 2 - (int(seconds) + int(micros) / 1e6)

    def queue_length(self, queue: str) -> int:
        with translated():
            return int(self._redis.llen(queue))

    def queue_states(self, queues: Iterable[str]) -> dict[str, QueueState]:
        known = tuple(queues)
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for queue in known:
                pipe.llen(queue)
                pipe.lindex(queue, -1)
            (seconds, micros), *answers = pipe.execute()
        now = int(seconds) + int(micros) / 1e6
        pairs = zip(answers[::2], answers[1::2], strict=True)
        return {
            queue: QueueState(int(length), _age(oldest, now))
            for queue, (length, oldest) in zip(known, pairs, strict=True)
        }

    def count_dropped_message(self) -> None:
        with translated():
            self._redis.incr(names.DROPPED_MESSAGES)

    def dropped_messages(self) -> int:
        with translated():
            return int(cast("str | None", self._redis.get(names.DROPPED_MESSAGES)) or 0)


def _age(message: str | None, now: float) -> float:
    """Return how long ago a message was issued; 0 without one, or if it does not say."""
    issued = float(issued_at(message) or 0)
    return max(0.0, now - issued) if issued else 0.0


def _worker(row: dict[str, Any]) -> Worker:
    """Return a worker. Fields that another release added are ignored."""
    return Worker(**{name: value for name, value in row.items() if name in WORKER_FIELDS})


def check_clock(workers: Workers) -> None:
    """Raise PermanentError (`clock_skew`) if this machine's clock differs from Redis's.

    Passes if Redis does not answer: a worker may start before Redis does.
    """
    try:
        skew = workers.clock_skew()
    except RetryableError as error:
        log.warning("clock not checked", reason=str(error))
        return
    if abs(skew) > MAX_SKEW_SECONDS:
        raise PermanentError(
            ErrorCode.CLOCK_SKEW,
            f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"
            " Redis's.",
        )
