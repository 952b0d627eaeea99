"""Listings in Redis: who lists the source of which batch, and the names of batches."""

import time
from typing import cast

from contract import names
from contract.batch import BatchSpec
from contract.ledger.batch_rows import BATCH_KEYS, batch_row
from contract.ledger.connection import Connection, translated
from contract.ledger.records import (
    CLOSED_KEPT_SECONDS,
    LISTING_LEASE_SECONDS,
    NAME_KEPT_SECONDS,
    REGISTERING_KEPT_SECONDS,
    NamedBatch,
)
from contract.outcome import Status

LISTING_KEYS = (*BATCH_KEYS, "lister")


class RedisListings:
    """See `contract.ledger.protocol.Listings`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._redis = connection.client

    def reserve_name(self, name: str, digest: str, batch: str) -> NamedBatch:
        key, row = names.batch_name_key(name), f"{digest} {batch}"
        with translated(), self._redis.pipeline() as pipe:
            pipe.set(key, row, nx=True, ex=NAME_KEPT_SECONDS)
            pipe.get(key)
            _, stored = pipe.execute()
        first_digest, first_batch = str(stored).split(" ")
        return NamedBatch(first_digest, first_batch)

    def release_name(self, name: str, digest: str, batch: str) -> None:
        row = f"{digest} {batch}"
        self._connection.run("release_reservation", [names.batch_name_key(name)], row)

    def begin(self, spec: BatchSpec) -> bool:
        keys = [
            *names.redis_keys(spec.id, BATCH_KEYS), names.ALL_BATCHES, names.REGISTERING,
        ]  # fmt: skip
        row = batch_row(spec, dict.fromkeys(Status, 0), 0)
        fields = [part for pair in row.items() for part in pair]
        return bool(
            self._connection.run(
                "begin_listing", keys, spec.id, spec.created, REGISTERING_KEPT_SECONDS, *fields
            )
        )

    def ids(self) -> list[str]:
        with translated():
            known = sorted(cast("set[str]", self._redis.smembers(names.REGISTERING)))
            # the others have expired
            alive = [batch for batch in known if self._redis.exists(names.redis_key(batch))]
            if gone := set(known) - set(alive):
                self._redis.srem(names.REGISTERING, *gone)
        return alive

    def acquire(self, batch: str, token: str) -> bool:
        return self._renew(batch, token, "", "")

    def record(self, batch: str, token: str, lines: int, stalled_reason: str = "") -> bool:
        return self._renew(batch, token, lines, stalled_reason)

    def complete(self, spec: BatchSpec, token: str) -> bool:
        return self._renew(
            spec.id, token, spec.total, "", spec.model_dump_json(), int(spec.has_callback)
        )

    def _renew(
        self, batch: str, token: str, lines: int | str, reason: str, *complete: str | int
    ) -> bool:
        """`complete`: the whole spec and whether it has a callback; else nothing."""
        return bool(
            self._connection.run_for(
                "listing", batch, (*LISTING_KEYS, "outcomes"), token,
                int(LISTING_LEASE_SECONDS * 1000), REGISTERING_KEPT_SECONDS, lines, reason,
                *complete or ("", ""),
            )
        )  # fmt: skip

    def release(self, batch: str, token: str) -> None:
        self._connection.run("release_reservation", [names.redis_key(batch, "lister")], token)

    def fail(self, batch: str, reason: str, token: str = "") -> bool:
        keys = [
            *names.redis_keys(batch, LISTING_KEYS), names.REGISTERING, names.BATCH_CALLBACKS,
        ]  # fmt: skip
        return bool(
            self._connection.run(
                "fail_listing", keys, batch, token, reason, time.time(), CLOSED_KEPT_SECONDS
            )
        )
