"""Rate limits, stored in Redis."""

import time

from contract.ledger.connection import Connection, translated

MINUTE = 60


class RateLimiter:
    """Counts requests in fixed windows of one minute, by this machine's clock."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection.client

    def retry_after(self, name: str, limit: int) -> int:
        """Count one request of `name`; return the seconds to wait, 0 if it is within `limit`.

        Raises RetryableError or PermanentError (`redis_unavailable`).
        """
        now = int(time.time())
        key = f"cutout:rate:{name}:{now // MINUTE}"
        with translated(), self._redis.pipeline() as pipe:
            pipe.incr(key)
            pipe.expire(key, 2 * MINUTE)
            count, _ = pipe.execute()
        return MINUTE - now % MINUTE if int(count) > limit else 0
