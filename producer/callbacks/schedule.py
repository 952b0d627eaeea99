"""Which callbacks wait, and since how many attempts. What they say is known elsewhere.

An id waits from `schedule` until `drop`. Whoever takes it holds it for a lease; several processes
may deliver. All times are Redis's own. The scripts in `lua/` document both keys.
"""

from contract import names
from contract.ledger.connection import Connection, translated


class Callbacks:
    def __init__(self, connection: Connection) -> None:
        self._redis = connection.client
        self._connection = connection

    def schedule(self, callback: str, delay: float = 0) -> None:
        """Have a callback delivered `delay` seconds from now; once, however often it is said."""
        self._schedule(callback, delay, waiting=False)

    def postpone(self, callback: str, delay: float) -> bool:
        """Have it tried again then. False where another process dropped it meanwhile."""
        return self._schedule(callback, delay, waiting=True)

    def _schedule(self, callback: str, delay: float, *, waiting: bool) -> bool:
        keys, arguments = [names.CALLBACKS], [callback, delay, int(waiting)]
        with translated():
            return bool(self._connection.scripts["callback_schedule"](keys=keys, args=arguments))

    def take(self, most: int, lease_seconds: float) -> list[str]:
        """Take ids that are due, and count the attempt. They are due again after the lease."""
        keys, arguments = [names.CALLBACKS, names.CALLBACK_ATTEMPTS], [most, lease_seconds]
        with translated():
            return list(self._connection.scripts["callback_take"](keys=keys, args=arguments))

    def attempts(self, callback: str) -> int:
        """Return how often it was taken, this time included."""
        with translated():
            return int(self._redis.hget(names.CALLBACK_ATTEMPTS, callback) or 0)

    def drop(self, callback: str) -> None:
        """Forget it: it was delivered, or given up."""
        with translated(), self._redis.pipeline() as pipe:
            pipe.zrem(names.CALLBACKS, callback)
            pipe.hdel(names.CALLBACK_ATTEMPTS, callback)
            pipe.execute()

    def waiting(self) -> int:
        """Return how many are neither delivered nor given up."""
        with translated():
            return int(self._redis.zcard(names.CALLBACKS))
