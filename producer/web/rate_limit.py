"""Rate limits, stored in Redis."""

import time

from contract.ledger.connection import Connection, translated

WINDOW_SECONDS = 60


class RateLimiter:
    """Counts requests in fixed windows of one minute, by this machine's clock."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection.client

    def retry_after(self, name: str, limit: int) -> int:
        """Count one request of `name`; return the seconds to wait, 0 if it is within `limit`.

        Raises RetryableError or PermanentError (`redis_unavailable`).
        """
        now = int(time.time())
        redis_key = f"cutout:rate:{name}:{now // WINDOW_SECONDS}"
        with translated(), self._redis.pipeline() as pipe:
            pipe.incr(redis_key)
            pipe.expire(redis_key, 2 * WINDOW_SECONDS)
            count, _ = pipe.execute()
        return WINDOW_SECONDS - now % WINDOW_SECONDS if int(count) > limit else 0
