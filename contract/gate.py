"""Who may come in, how often, and which request is the same as another. Kept in Redis."""

import time
from dataclasses import dataclass, replace

from contract.ledger.connection import Connection, translated

MINUTE = 60
IDEMPOTENCY_KEPT_SECONDS = 24 * 3600
RESERVED_SECONDS = 60
"""How long a first request may be under way. One whose server vanished may be sent again then."""


@dataclass(frozen=True, slots=True)
class First:
    """The first request with an idempotency key."""

    digest: str
    identity: str
    kept: bool
    """carried out; else it is under way, or its server vanished"""

    @property
    def row(self) -> str:
        """As Redis keeps it."""
        return f"{self.digest} {self.identity}{' kept' if self.kept else ''}"


class Gate:
    def __init__(self, connection: Connection) -> None:
        self._connection, self._redis = connection, connection.client

    def wait_of(self, name: str, most: int) -> int:
        """Count a request of that name; return the seconds it has to wait, 0 where it may pass.

        Fixed windows of a minute, by this machine's clock.
        """
        now = int(time.time())
        key = f"cutout:rate:{name}:{now // MINUTE}"
        with translated(), self._redis.pipeline() as pipe:
            pipe.incr(key)
            pipe.expire(key, 2 * MINUTE)
            count, _ = pipe.execute()
        return MINUTE - now % MINUTE if int(count) > most else 0

    def first(self, name: str, key: str, digest: str, identity: str) -> First:
        """Return the first request with that idempotency key; of many at once, one is the first.

        It is forgotten after a minute unless `keep` says that it was carried out.
        """
        place, row = _place(name, key), First(digest, identity, kept=False).row
        with translated(), self._redis.pipeline() as pipe:
            pipe.set(place, row, nx=True, ex=RESERVED_SECONDS)
            pipe.get(place)
            _, found = pipe.execute()
        known, first, *kept = str(found).split(" ")
        return First(known, first, bool(kept))

    def keep(self, name: str, key: str, first: First) -> None:
        """Know a request for a day: it was carried out."""
        row = replace(first, kept=True).row
        with translated():
            self._redis.set(_place(name, key), row, ex=IDEMPOTENCY_KEPT_SECONDS)

    def forget(self, name: str, key: str, first: First) -> None:
        """Let the next request be the first, unless one has taken the place of `first` already."""
        with translated():
            self._connection.scripts["first_forget"](keys=[_place(name, key)], args=[first.row])


def _place(name: str, key: str) -> str:
    return f"cutout:idempotency:{name}:{key}"
