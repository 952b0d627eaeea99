"""Why Redis does not answer, asked over a plain socket, where redis-py only sees a lost connection.

Redis ignores or closes a connection that uses TLS where it does not, or the reverse; and one beyond
its maxclients.
"""

import socket
import ssl
from contextlib import suppress

from contract.errors import REDIS_CODES, CutoutError, ErrorCode, PermanentError, RetryableError
from contract.redis_address import RedisAddress
from contract.settings import settings

PROBE_SECONDS = 2
"""Seconds to wait for each reply of the probed server."""
GREETING_SECONDS = 0.2
"""Seconds to wait for what a server says before it is asked: that it has no room."""
NO_ROOM = b"max number of clients"
"""Part of Redis's reply to a connection beyond its maxclients."""


def explain_to_user(error: CutoutError) -> CutoutError:
    """Return the error that a command ends with, explained if it is about CUTOUT_REDIS_URL."""
    if error.code not in REDIS_CODES or settings().redis_url is None:
        return error
    return explain(error, settings().require_redis_address())


def explain(error: CutoutError, address: RedisAddress) -> CutoutError:
    """Return the error, or one that says more: `redis_maxclients`, or `redis_tls`."""
    if error.code not in REDIS_CODES:
        return error
    reply = _plain_reply(address)
    if NO_ROOM in reply:
        return no_room()
    if address.hosts and address.tls and reply[:1] in {b"+", b"-"}:
        return _mismatch(address, "uses no TLS", "redis:// or sentinel://")
    if address.hosts and not address.tls and not reply and _answers_tls(*address.hosts[0]):
        return _mismatch(address, "uses TLS", "rediss:// or sentinels://")
    return error


def no_room() -> RetryableError:
    return RetryableError(
        ErrorCode.REDIS_MAXCLIENTS, "Redis accepts no further connection: maxclients is reached."
    )


def _mismatch(address: RedisAddress, what: str, schemes: str) -> PermanentError:
    host, port = address.hosts[0]
    return PermanentError(
        ErrorCode.REDIS_TLS,
        f"The server at {host}:{port} {what}, so CUTOUT_REDIS_URL must begin with {schemes}.",
    )


def _plain_reply(address: RedisAddress) -> bytes:
    """Return what the server says by itself, or to a PING without TLS; empty if nothing."""
    with suppress(OSError), _connect(address) as link:
        link.settimeout(GREETING_SECONDS)
        with suppress(TimeoutError):
            return link.recv(100)
        link.settimeout(PROBE_SECONDS)
        link.sendall(b"PING\r\n")
        return link.recv(100)
    return b""


def _connect(address: RedisAddress) -> socket.socket:
    if address.hosts:
        return socket.create_connection(address.hosts[0], PROBE_SECONDS)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(PROBE_SECONDS)
    link.connect(address.socket)
    return link


def _answers_tls(host: str, port: int) -> bool:
    """Return whether a TLS handshake succeeds, with any certificate. Nothing is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        suppress(OSError),
        socket.create_connection((host, port), PROBE_SECONDS) as link,
        context.wrap_socket(link, server_hostname=host),
    ):
        return True
    return False
