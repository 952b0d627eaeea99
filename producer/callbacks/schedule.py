"""When each callback is due, stored in Redis.

A callback is pending from `schedule` until `drop`. The process that takes it holds it for a lease;
several processes may deliver. All times are by Redis's clock; `callback_*.lua` document the keys.
"""

from contract import names
from contract.ledger.connection import Connection, translated


class CallbackSchedule:
    """Every method raises RetryableError or PermanentError (`redis_unavailable`)."""

    def __init__(self, connection: Connection, key: str = names.CALLBACKS) -> None:
        """`key`: `names.CALLBACKS` or `names.BATCH_CALLBACKS`."""
        self._redis = connection.client
        self._connection = connection
        self._key = key
        self._attempts_key = names.callback_attempts(key)

    def schedule(self, callback: str, delay: float = 0) -> None:
        """Make a callback due in `delay` seconds. Scheduling it twice delivers it once."""
        self._schedule(callback, delay, only_pending=False)

    def postpone(self, callback: str, delay: float) -> bool:
        """Make a pending callback due in `delay` seconds. Returns False if it was dropped."""
        return self._schedule(callback, delay, only_pending=True)

    def _schedule(self, callback: str, delay: float, *, only_pending: bool) -> bool:
        keys = [self._key]
        return bool(
            self._connection.run("callback_schedule", keys, callback, delay, int(only_pending))
        )

    def take(self, limit: int, lease_seconds: float) -> list[str]:
        """Take up to `limit` due callbacks and count an attempt for each.

        They are due again when the lease ends.
        """
        keys = [self._key, self._attempts_key]
        return list(self._connection.run("callback_take", keys, limit, lease_seconds))

    def attempts(self, callback: str) -> int:
        """Return how often the callback was taken, including now."""
        with translated():
            return int(self._redis.hget(self._attempts_key, callback) or 0)

    def give_back(self, callback: str, delay: float) -> None:
        """Undo `take` without an attempt, for another process; it is due in `delay` seconds."""
        if self.postpone(callback, delay):
            with translated():
                self._redis.hincrby(self._attempts_key, callback, -1)

    def drop(self, callback: str) -> None:
        """Delete a callback: it was delivered or given up."""
        with translated(), self._redis.pipeline() as pipe:
            pipe.zrem(self._key, callback)
            pipe.hdel(self._attempts_key, callback)
            pipe.execute()

    def is_pending(self, callback: str) -> bool:
        """Return whether a callback is neither delivered nor given up."""
        with translated():
            return self._redis.zscore(self._key, callback) is not None

    def pending(self) -> int:
        """Return the number of callbacks neither delivered nor given up."""
        with translated():
            return int(self._redis.zcard(self._key))
