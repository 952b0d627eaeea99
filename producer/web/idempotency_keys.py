"""Idempotency keys of requests, stored in Redis.

The first request with a key reserves it, creates its cutout and commits the reservation. A second
request with the same key finds the reservation and is answered with the same cutout.
"""

from dataclasses import dataclass, replace

from contract.ledger.connection import Connection, translated

COMMITTED_SECONDS = 24 * 3600
"""How long a committed key is remembered."""
RESERVED_SECONDS = 60
"""How long an uncommitted reservation holds. After that, a request whose server died can be sent
again."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is stored for an idempotency key: the first request that used it."""

    digest: str
    """SHA-256 of the request, to recognise another request with the same key"""
    cutout_id: str
    committed: bool
    """True once the cutout exists; False while the request is in progress or its server died"""

    @property
    def row(self) -> str:
        """The text stored in Redis."""
        return f"{self.digest} {self.cutout_id}{' committed' if self.committed else ''}"


class IdempotencyKeys:
    """Every method raises RetryableError or PermanentError (`redis_unavailable`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._redis = connection, connection.client

    def reserve(self, scope: str, key: str, digest: str, cutout_id: str) -> Reservation:
        """Reserve a key if it is free, and return its reservation, which may be an earlier one.

        Of several concurrent requests exactly one gets its own `cutout_id` back. The reservation
        expires after RESERVED_SECONDS unless it is committed.
        """
        redis_key, row = _redis_key(scope, key), Reservation(digest, cutout_id, committed=False).row
        with translated(), self._redis.pipeline() as pipe:
            pipe.set(redis_key, row, nx=True, ex=RESERVED_SECONDS)
            pipe.get(redis_key)
            _, stored = pipe.execute()
        first_digest, first_id, *committed = str(stored).split(" ")
        return Reservation(first_digest, first_id, bool(committed))

    def commit(
        self, scope: str, key: str, reservation: Reservation, seconds: int = COMMITTED_SECONDS
    ) -> bool:
        """Remember the key for `seconds`: its cutout exists.

        Returns False if the reservation had expired and another request has taken the key since.
        """
        before, after = (replace(reservation, committed=done).row for done in (False, True))
        keys = [_redis_key(scope, key)]
        return bool(self._connection.run("commit_reservation", keys, before, after, seconds))

    def release(self, scope: str, key: str, reservation: Reservation) -> None:
        """Delete `reservation`, unless another request has replaced it."""
        self._connection.run("release_reservation", [_redis_key(scope, key)], reservation.row)


def _redis_key(scope: str, key: str) -> str:
    return f"cutout:idempotency:{scope}:{key}"
