"""The ledger in Redis. Create it after a fork, never before: connections do not survive one."""

from typing import Any

from contract import names
from contract.ledger.batches import RedisBatches
from contract.ledger.connection import Connection, translated
from contract.ledger.cutouts import RedisCutouts
from contract.ledger.lines import RedisLines
from contract.ledger.listings import RedisListings
from contract.ledger.workers import WorkerRegistry
from contract.redis_address import RedisAddress
from contract.settings import REPLY_SECONDS

SYNC_MILLISECONDS = 3000
"""Longest wait for the append-only file: shorter than REPLY_SECONDS."""


class RedisLedger:
    """See `contract.ledger.protocol.Ledger`."""

    def __init__(
        self, address: RedisAddress | str, retries: int = 8, timeout: float = REPLY_SECONDS
    ) -> None:
        """Connect at the first call; see `Connection` for the arguments."""
        self.connection = Connection(address, retries, timeout)
        self.batches = RedisBatches(self.connection)
        self.cutouts = RedisCutouts(self.connection)
        self.listings = RedisListings(self.connection)
        self.lines = RedisLines(self.connection)
        self.workers = WorkerRegistry(self.connection)

    def ping(self) -> None:
        with translated():
            self.connection.client.ping()

    def sync(self) -> bool:
        pipe: Any  # execute_command has no types
        with translated(), self.connection.client.pipeline(transaction=False) as pipe:
            pipe.ping()  # WAITAOF waits for what was written before its connection's last command
            pipe.execute_command("WAITAOF", 1, 0, SYNC_MILLISECONDS)
            _, synced = pipe.execute(raise_on_error=False)
        return isinstance(synced, list) and int(synced[0]) > 0

    def acquire_lease(self, token: str, seconds: float) -> bool:
        return bool(
            self.connection.run("lease", [names.DISPATCHER_LEASE], token, int(seconds * 1000))
        )

    def has_dispatcher(self) -> bool:
        with translated():
            return bool(self.connection.client.exists(names.DISPATCHER_LEASE))

    def release_lease(self, token: str) -> None:
        self.connection.run("release_lease", [names.DISPATCHER_LEASE], token)
