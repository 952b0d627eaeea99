"""redis-py's client of an address: over TCP, TLS or a Unix socket, direct or through Sentinels."""

from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from contract.redis_address import RedisAddress


class Sentinels(Sentinel):
    """Asks Sentinels where Redis is, over connections that are closed after each answer.

    With redis-py's own class, each process of a fleet holds one to a Sentinel for good.
    """

    def __init__(self, address: RedisAddress) -> None:
        super().__init__([])  # type: ignore[no-untyped-call]
        self._address = address

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return (host, port). Raises MasterNotFoundError, from the last Sentinel's error."""
        last_error = None
        options: dict[str, Any] = self._address.sentinel_options
        for host, port in self._address.hosts:
            try:
                # a client of its own: other threads may be asking too
                with redis.Redis(host, port, **options) as sentinel:
                    masters: Any = sentinel.sentinel_masters()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                last_error = error
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                return str(state["ip"]), int(state["port"])
        raise MasterNotFoundError(service_name) from last_error


def open_client(address: RedisAddress, retries: int, timeout: float) -> redis.Redis:
    """Return a client that connects at its first call. See `Connection` for the arguments."""
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.username or None,
        "password": address.password or None,
        "decode_responses": True,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": 10,
        "retry": Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), retries),
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError],
        **address.tls_options,
    }
    return redis.Redis.from_pool(_pool(address, options))


def _pool(address: RedisAddress, options: dict[str, Any]) -> redis.ConnectionPool:
    if address.master:
        managed = SentinelManagedSSLConnection if address.tls else SentinelManagedConnection
        return SentinelConnectionPool(  # type: ignore[no-untyped-call]
            address.master, Sentinels(address), connection_class=managed, **options
        )
    if address.socket:
        return redis.ConnectionPool(
            redis.UnixDomainSocketConnection, path=address.socket, **options
        )
    [(host, port)] = address.hosts
    direct = redis.SSLConnection if address.tls else redis.Connection
    return redis.ConnectionPool(direct, host=host, port=port, **options)
