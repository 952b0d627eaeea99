"""Which workers are there, what they serve and what their clocks say. May be lost at any time."""

import time

import structlog
from pydantic import BaseModel, ConfigDict

from contract import names
from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.ledger.connection import Connection, translated

log = structlog.get_logger(__name__)

SILENT_SECONDS = 30
"""A worker not heard of for so long is taken for gone."""

MOST_SKEW_SECONDS = 5
"""The broker hands out again what is older than the visibility timeout, by the clock of whoever
looks: one clock far ahead, and images in hand elsewhere are run a second time."""


class Worker(BaseModel):
    """What a worker says of itself, every few seconds."""

    model_config = ConfigDict(frozen=True)

    name: str
    queue: str
    children: int
    clock_skew: float
    """seconds this machine's clock is ahead of Redis's"""


class Presence:
    def __init__(self, connection: Connection) -> None:
        self._redis = connection.client

    def announce(self, worker: Worker) -> None:
        """Say that a worker is there. Holds for SILENT_SECONDS."""
        with translated(), self._redis.pipeline() as pipe:
            pipe.set(names.worker_key(worker.name), worker.model_dump_json(), ex=SILENT_SECONDS)
            pipe.sadd(names.WORKERS, worker.name)
            pipe.execute()

    def leave(self, worker: str) -> None:
        with translated(), self._redis.pipeline() as pipe:
            pipe.delete(names.worker_key(worker))
            pipe.srem(names.WORKERS, worker)
            pipe.execute()

    def workers(self) -> list[Worker]:
        """Return the workers heard of lately, by name."""
        with translated():
            known = sorted(self._redis.smembers(names.WORKERS))
            rows = self._redis.mget([names.worker_key(name) for name in known]) if known else []
            if gone := [name for name, row in zip(known, rows, strict=True) if row is None]:
                self._redis.srem(names.WORKERS, *gone)
        return [Worker.model_validate_json(row) for row in rows if row is not None]

    def clock_skew(self) -> float:
        """Return how many seconds this machine's clock is ahead of Redis's."""
        before = time.time()
        with translated():
            seconds, micros = self._redis.time()
        return (before + time.time()) / 2 - (int(seconds) + int(micros) / 1e6)

    def queue_length(self, queue: str) -> int:
        with translated():
            return int(self._redis.llen(queue))


def check_clock(presence: Presence) -> None:
    """Raise PermanentError (`clock_skew`) where this machine's clock is not Redis's.

    Where Redis does not answer there is nothing to compare: a worker may start before it.
    """
    try:
        skew = presence.clock_skew()
    except RetryableError as error:
        log.warning("clock not checked", why=str(error))
        return
    if abs(skew) > MOST_SKEW_SECONDS:
        raise PermanentError(
            ErrorCode.CLOCK_SKEW,
            f"This machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"
            " Redis's.",
        )
