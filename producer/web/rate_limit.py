"""Rate limits, stored in Redis."""

import time
from dataclasses import dataclass

from contract.ledger.connection import Connection, translated

WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RateUsage:
    """How much of its limit a key has used in the present minute."""

    limit: int
    """requests per minute"""
    remaining: int
    """requests that are left; 0 also for one that is over the limit"""
    reset: int
    """Unix seconds at which the next minute begins"""
    retry_after: int
    """seconds to wait; 0 if the request is within the limit"""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateLimiter:
    """Counts requests in fixed windows of one minute, by this machine's clock."""

    def __init__(self, connection: Connection) -> None:
        self._redis = connection.client

    def count(self, name: str, limit: int) -> RateUsage:
        """Count one request of `name`. Raises RetryableError or PermanentError (`redis_...`)."""
        now = int(time.time())
        window = now // WINDOW_SECONDS
        redis_key = f"cutout:rate:{name}:{window}"
        with translated(), self._redis.pipeline() as pipe:
            pipe.incr(redis_key)
            pipe.expire(redis_key, 2 * WINDOW_SECONDS)
            count, _ = pipe.execute()
        reset = (window + 1) * WINDOW_SECONDS
        return RateUsage(
            limit=limit,
            remaining=max(0, limit - int(count)),
            reset=reset,
            retry_after=reset - now if int(count) > limit else 0,
        )
