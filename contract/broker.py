"""Celery's options about its broker: equal in every process, or messages are lost."""

from urllib.parse import quote

from contract.redis_address import RedisAddress
from contract.settings import REPLY_SECONDS, Settings


def broker_options(config: Settings) -> dict[str, object]:
    """Return the options. Raises PermanentError (`invalid_setting`) without CUTOUT_REDIS_URL."""
    address = config.require_redis_address()
    return {
        "broker_url": broker_url(address),
        # given always: without it, kombu does not verify the certificate of a rediss:// server
        "broker_use_ssl": address.tls_options or False,
        "broker_transport_options": _transport_options(address, config.visibility_timeout),
    }


def broker_url(address: RedisAddress) -> str:
    """Return the address as Celery spells it: one URL per Sentinel, and another Unix scheme."""
    user = ""
    if address.username or address.password:
        user = f"{quote(address.username, safe='')}:{quote(address.password, safe='')}@"
    if address.socket:
        database = f"?virtual_host={address.database}" if address.database else ""
        return f"redis+socket://{user}{quote(address.socket)}{database}"
    scheme = "sentinel" if address.master else "rediss" if address.tls else "redis"
    return ";".join(
        f"{scheme}://{user}{_host(host)}:{port}/{address.database}" for host, port in address.hosts
    )


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _transport_options(address: RedisAddress, visibility_timeout: float) -> dict[str, object]:
    options: dict[str, object] = {
        "visibility_timeout": visibility_timeout,
        # a worker of several queues empties them in order instead of in rotation
        "queue_order_strategy": "priority",
        # one Redis list per queue; by default Redis looks into four each time a worker waits
        "priority_steps": [0],
        # look for messages past the visibility timeout every 5 s; kombu's default is 100 s
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # without these timeouts, a connection whose packets are dropped blocks a worker forever
        "socket_timeout": REPLY_SECONDS,
        "socket_connect_timeout": REPLY_SECONDS,
        "socket_keepalive": not address.socket,
        # the same for a worker that waits for messages, which no socket timeout interrupts
        "health_check_interval": REPLY_SECONDS,
    }
    if address.master:
        options["master_name"] = address.master
        options["sentinel_kwargs"] = address.sentinel_options
    return options
