"""Cutouts in Redis: batches of one image, packed once they have ended."""

import time
from typing import cast

from contract import names
from contract.batch import BatchSpec
from contract.ledger.batch_rows import TEMPORARY_KEYS
from contract.ledger.connection import Connection, translated
from contract.ledger.ended_cutout import PACKED, packed, unpacked
from contract.outcome import Outcome, stored_outcome


class RedisCutouts:
    """See `contract.ledger.protocol.Cutouts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._redis = connection.client

    def register(self, spec: BatchSpec, outcome: Outcome | None = None, kept: float = 0) -> bool:
        keys = [*names.redis_keys(spec.id, ("", "deleted")), names.OPEN_BATCHES]
        row = outcome.model_dump_json(exclude_defaults=True) if outcome else ""
        status = outcome.status if outcome else ""
        arguments = (spec.id, spec.model_dump_json(), row, status, time.time(), kept)
        return bool(self._connection.run("register_cutout", keys, *arguments))

    def outcome(self, cutout_id: str) -> Outcome | None:
        with translated(), self._redis.pipeline() as pipe:
            # in one transaction: closing moves the outcome from the stream to the hash
            pipe.hmget(names.redis_key(cutout_id), "outcome", PACKED)
            pipe.xrange(names.redis_key(cutout_id, "outcomes"), count=1)
            (row, text), entries = pipe.execute()
        if text:
            row = unpacked({PACKED: text}).get("outcome")
        rows = [row] if row else [fields["row"] for _, fields in entries]
        return stored_outcome(cutout_id, rows[0]) if rows else None

    def close(self, cutout_id: str, kept: float) -> bool:
        parts = (*TEMPORARY_KEYS, "settled", "failed")
        keys = [names.redis_key(cutout_id), names.OPEN_BATCHES, *names.redis_keys(cutout_id, parts)]
        if not self._connection.run("close_cutout", keys, cutout_id, time.time(), kept):
            return False
        with translated():
            row = cast("dict[str, str]", self._redis.hgetall(names.redis_key(cutout_id)))
        if row:
            self._connection.run_for("pack_cutout", cutout_id, [""], packed(unpacked(row)))
        return True
