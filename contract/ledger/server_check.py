"""What long-running processes ask Redis at their start: whether it can hold the queue."""

from collections.abc import Iterator
from typing import Any

import structlog

from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.ledger.connection import Connection
from contract.ledger.probe import explain

log = structlog.get_logger(__name__)

KEEPING_POLICY = "noeviction"
"""The one maxmemory-policy under which a full Redis refuses writes instead of deleting keys."""
MAXCLIENTS_SHARE = 0.9
"""Share of maxclients above which an operator is warned."""


def check_server(connection: Connection, new_connections: int = 0) -> None:
    """Refuse a Redis that cannot hold the queue, and log what an operator should change about it.

    See `examine`. Passes if Redis does not answer: a worker may start before Redis does.
    """
    try:
        warnings = examine(connection, new_connections)
    except RetryableError as error:
        explained = explain(error, connection.address)
        if explained.code is ErrorCode.REDIS_TLS:
            raise explained from None
        log.warning("Redis not checked", reason=str(explained))
        return
    for warning in warnings:
        log.warning("Redis should be changed", reason=str(warning))


def examine(connection: Connection, new_connections: int = 0) -> list[CutoutError]:
    """Return what an operator should change about Redis.

    `new_connections`: how many the calling process will open. Asks by INFO, which managed services
    allow even if they forbid CONFIG. Raises PermanentError if Redis cannot hold the queue
    (`redis_cluster`, `redis_eviction`) or refuses the credentials; RetryableError if it does not
    answer.
    """
    facts = connection.server_info()
    _refuse_unsuitable(facts)
    return list(_warnings(facts, new_connections))


def _refuse_unsuitable(facts: dict[str, Any]) -> None:
    if facts.get("redis_mode") == "cluster" or facts.get("cluster_enabled"):
        raise PermanentError(ErrorCode.REDIS_CLUSTER, "The server is a node of a Redis Cluster.")
    policy = facts.get("maxmemory_policy", KEEPING_POLICY)
    if policy != KEEPING_POLICY:
        raise PermanentError(
            ErrorCode.REDIS_EVICTION, f"The maxmemory-policy of Redis is {policy}."
        )


def _warnings(facts: dict[str, Any], new_connections: int) -> Iterator[CutoutError]:
    if not facts.get("aof_enabled", True):
        yield PermanentError(ErrorCode.REDIS_PERSISTENCE, "Redis keeps no append-only file.")
    connected, limit = int(facts.get("connected_clients", 0)), int(facts.get("maxclients", 0))
    if limit and connected + new_connections > MAXCLIENTS_SHARE * limit:
        yield PermanentError(
            ErrorCode.REDIS_MAXCLIENTS,
            f"{connected:,} of the {limit:,} connections that Redis allows are open, and this"
            f" process opens up to {new_connections:,} more.",
        )
