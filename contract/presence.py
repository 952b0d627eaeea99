"""Which workers are there, what they serve and what their clocks say. May be lost at any time."""

import time

from pydantic import BaseModel, ConfigDict

from contract import names
from contract.connection import Connection, translated

SILENT_SECONDS = 30
"""A worker not heard of for so long is taken for gone."""


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
