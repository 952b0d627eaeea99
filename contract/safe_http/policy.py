"""Which URLs and addresses a client may make us connect to, decided before a byte is sent.

Allowed: https, on any port, to globally routable addresses. http and other addresses only for the
hosts and networks in `allow` (CUTOUT_URL_ALLOWLIST). A name is resolved once, and refused if any
of its addresses is not allowed: the resolved address decides, not the spelling (`0x7f.1` is
127.0.0.1).
"""

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from contract.errors import ErrorCode, PermanentError, RetryableError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is the last 32 bits
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that IANA has allocated (RFC 4291)
NOT_PUBLIC: tuple[Network, ...] = (
    # ranges that `is_global` accepts, at least up to Python 3.11.7
    ipaddress.IPv4Network(
        "192.0.0.0/24"
    ),  # IETF protocol assignments (RFC 6890), with Oracle's metadata service
    ipaddress.IPv4Network("192.88.99.0/24"),  # 6to4 relays, deprecated by RFC 7526
    ipaddress.IPv4Network("168.63.129.16/32"),  # the host's services on Azure machines
    ipaddress.IPv6Network(
        "2001::/23"
    ),  # IETF protocol assignments, with Teredo (embeds an IPv4 address)
    ipaddress.IPv6Network("2002::/16"),  # 6to4: embeds an IPv4 address, deprecated by RFC 7526
    ipaddress.IPv6Network("3fff::/20"),  # for documentation (RFC 9637)
)

CHECK_SECONDS = 0.5
"""Seconds to wait for a host name to resolve while a user waits for an answer."""

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_NETLOC = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@\\]+))(?::([0-9]{0,5}))?")
_PORTS = {"https": 443, "http": 80}
_PATH_SAFE = "!#$%&'()*+,/:;=?@[]~"
"""Characters of a path and query that `quote` keeps, so percent-encoding is not applied twice."""


@dataclass(frozen=True, slots=True)
class Target:
    """An allowed URL, and the checked addresses of its host."""

    secure: bool
    host: str
    """ASCII, lower case; an IPv6 address without brackets"""
    port: int
    path: str
    """with the query; may be signed, so it is never logged"""
    sockets: tuple[tuple[socket.AddressFamily, tuple[object, ...]], ...]
    """(family, numeric socket address), to be tried in order"""

    @property
    def authority(self) -> str:
        """The `Host` header: with the port, if it is not the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == _PORTS["https" if self.secure else "http"]
        return host if is_default else f"{host}:{self.port}"


def is_public(address: Address) -> bool:
    """Return whether an address is globally routable. An embedded IPv4 address decides."""
    if isinstance(address, ipaddress.IPv6Address):
        if embedded := _embedded(address):
            return is_public(embedded)
        if address not in GLOBAL_UNICAST:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in NOT_PUBLIC)
    )


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address inside a NAT64 or IPv4-mapped address, or None."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


def allowed_entry(entry: str) -> Network | str:
    """Parse an entry of `allow`: a network or a host name. Raises ValueError if it is neither."""
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    if "/" in entry:
        raise ValueError("not a network")
    return _ascii(entry)


def host_of(url: str) -> str:
    """Return the host of a URL, which may be logged, or `?`. Paths and queries may be signed."""
    try:
        return _parse(url)[1]
    except PermanentError:
        return "?"


def resolve_target(url: str, allow: Sequence[str], seconds: float) -> Target:
    """Check a URL and resolve its host, once, within `seconds`.

    `allow`: hosts and networks, as text. Raises PermanentError (`url_refused`), or RetryableError
    (`url_unavailable`) if the name has no address at present. Messages contain at most the host.
    """
    scheme, host, port, path = _parse(url)
    entries = [allowed_entry(entry) for entry in allow]
    host_allowed = host in entries
    networks = [entry for entry in entries if not isinstance(entry, str)]
    secure = scheme == "https"
    if not secure and not host_allowed and not networks:
        raise _not_encrypted(host)
    sockets = _resolve(host, port, seconds)
    all_in_networks = True
    for _, socket_address in sockets:
        address = ipaddress.ip_address(str(socket_address[0]))
        in_networks = any(_is_in(address, network) for network in networks)
        all_in_networks = all_in_networks and in_networks
        if not (host_allowed or in_networks or is_public(address)):
            raise _refused(f"{host} has an address that is not public.")
    if not (secure or host_allowed or all_in_networks):
        raise _not_encrypted(host)
    return Target(secure, host, port, path, tuple(sockets))


def check_url(url: str, allow: Sequence[str]) -> None:
    """Raise PermanentError (`url_refused`) for a URL that a later request would refuse.

    A host name that does not resolve now is accepted: it may resolve later.
    """
    with suppress(RetryableError):
        resolve_target(url, allow, CHECK_SECONDS)


def _is_in(address: Address, network: Network) -> bool:
    embedded = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    return address in network or (embedded is not None and embedded in network)


def _parse(url: str) -> tuple[str, str, int, str]:
    """Split a URL into scheme, host, port, and path with query.

    Raises PermanentError (`url_refused`) for anything ambiguous.
    """
    # checked first: `urlsplit` silently removes tabs and newlines
    if not url.isprintable() or " " in url or "\\" in url:
        raise _refused("The URL contains a space, a backslash or a control character.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _refused("The URL is malformed.") from None
    if parts.scheme not in _PORTS:
        raise _refused("The URL is not an https URL.")
    if "@" in parts.netloc:
        raise _refused("The URL contains a user name or password.")
    match = _NETLOC.fullmatch(parts.netloc)
    if match is None:
        raise _refused("The URL names no host.")
    try:
        literal, name, digits = match.groups()
        host = str(ipaddress.IPv6Address(literal)) if literal else _ascii(name)
    except ValueError:
        raise _refused("The URL names no host.") from None
    port = int(digits) if digits else _PORTS[parts.scheme]
    if not 0 < port < 2**16:
        raise _refused(f"Port {port} of {host} does not exist.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port, quote(path, safe=_PATH_SAFE)


def _ascii(name: str) -> str:
    """Return a host name in the ASCII form that DNS uses. Raises ValueError.

    Python's codec is IDNA 2003, which maps names with ß or ς to another domain than browsers do:
    such names must be given as `xn--`.
    """
    if any(letter in name for letter in "ßẞς"):
        raise ValueError("write the host as xn--")
    host = name.encode("idna").decode("ascii").lower().removesuffix(".")
    if not _HOST.fullmatch(host):
        raise ValueError("not a host name")
    return host


def _resolve(
    host: str, port: int, seconds: float
) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Return the addresses of a host, as (family, socket address).

    In a thread of its own, as `getaddrinfo` has no timeout and cannot be interrupted. Raises
    RetryableError (`url_unavailable`).
    """
    answers: queue.SimpleQueue[list[tuple[socket.AddressFamily, tuple[object, ...]]]] = (
        queue.SimpleQueue()
    )

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            rows = []
        answers.put([(row[0], row[4]) for row in rows])

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        addresses = answers.get(timeout=max(seconds, 0))
    except queue.Empty:
        addresses = []
    if not addresses:
        raise RetryableError(ErrorCode.URL_UNAVAILABLE, f"{host} was not found in DNS.")
    return addresses


def _refused(message: str) -> PermanentError:
    return PermanentError(ErrorCode.URL_REFUSED, message)


def _not_encrypted(host: str) -> PermanentError:
    return _refused(f"The URL of {host} is http, which is not encrypted.")
