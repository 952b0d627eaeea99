"""Where a URL that a stranger wrote may lead, decided before a byte is sent.

https, on any port, to globally routable addresses. http and other addresses only for the hosts and
networks in `allow` (CUTOUT_URL_ALLOWLIST). A name is resolved once and refused if any of its
addresses is: the resolved address decides, never the spelling (`0x7f.1` is 127.0.0.1).
"""

import ipaddress
import queue
import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from contract.errors import ErrorCode, PermanentError, RetryableError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is the last 32 bits
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out (RFC 4291)
NOT_PUBLIC: tuple[Network, ...] = (
    # what `is_global` lets through, at least up to Python 3.11.7
    ipaddress.IPv4Network("192.0.0.0/24"),  # IETF's own (RFC 6890); Oracle's metadata is in it
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, ended by RFC 7526
    ipaddress.IPv4Network("168.63.129.16/32"),  # the host's own services, on any Azure machine
    ipaddress.IPv6Network("2001::/23"),  # IETF's own, Teredo (an IPv4 address inside) among them
    ipaddress.IPv6Network("2002::/16"),  # 6to4: an IPv4 address inside, ended by RFC 7526
    ipaddress.IPv6Network("3fff::/20"),  # for documentation (RFC 9637)
)

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
_NETLOC = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@\\]+))(?::([0-9]{0,5}))?")
_PORTS = {"https": 443, "http": 80}
_PATH_SAFE = "!#$%&'()*+,/:;=?@[]~"
"""What `quote` leaves alone in a path and query: they are percent-encoded already, or meant so."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked, and the addresses that were checked for it."""

    secure: bool
    host: str
    """ASCII, lower case; an IPv6 address without brackets"""
    port: int
    path: str
    """with the query; may be signed, so it is never shown"""
    sockets: tuple[tuple[socket.AddressFamily, tuple[object, ...]], ...]
    """(family, numeric socket address), to be tried in turn"""

    @property
    def authority(self) -> str:
        """The `Host` header: the port is named where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"


def is_public(address: Address) -> bool:
    """Whether an address is globally routable; an IPv4 address inside an IPv6 one decides."""
    if isinstance(address, ipaddress.IPv6Address):
        if inner := _embedded(address):
            return is_public(inner)
        if address not in GLOBAL_UNICAST:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in NOT_PUBLIC)
    )


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


def allowed_entry(entry: str) -> Network | str:
    """Return an entry of `allow`: a network, or a host name. Raises ValueError where it is none."""
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    if "/" in entry:
        raise ValueError("an entry is no network")
    return _ascii(entry)


def host_of(url: str) -> str:
    """Return what may be shown of a URL: its host, or `?`."""
    try:
        return _parse(url)[1]
    except PermanentError:
        return "?"


def resolve_target(url: str, allow: Sequence[str], seconds: float) -> Target:
    """Check a URL and resolve its host, once, within `seconds`.

    Raises PermanentError (`url_refused`), or RetryableError (`url_unavailable`) where the name
    has no address now. Texts hold the host at most: paths and queries may be signed.
    """
    scheme, host, port, path = _parse(url)
    entries = [allowed_entry(entry) for entry in allow]
    named = host in entries
    networks = [entry for entry in entries if not isinstance(entry, str)]
    secure = scheme == "https"
    if not secure and not named and not networks:
        raise _refused(f"{host} is asked for over http, which is not encrypted.")
    sockets = _resolved(host, port, seconds)
    inside = True
    for _, place in sockets:
        address = ipaddress.ip_address(str(place[0]))
        within = any(_within(address, network) for network in networks)
        inside = inside and within
        if not (named or within or is_public(address)):
            raise _refused(f"{host} leads to an address that is not public.")
    if not (secure or named or inside):
        raise _refused(f"{host} is asked for over http, which is not encrypted.")
    return Target(secure, host, port, path, tuple(sockets))


def _within(address: Address, network: Network) -> bool:
    inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    return address in network or (inner is not None and inner in network)


def _parse(url: str) -> tuple[str, str, int, str]:
    """Split a URL into scheme, host, port, path with query. Whatever is ambiguous is refused."""
    # checked first: `urlsplit` drops tabs and newlines in silence
    if not url.isprintable() or " " in url or "\\" in url:
        raise _refused("A URL holds no spaces, backslashes or control characters.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _refused("This is no URL.") from None
    if parts.scheme not in _PORTS:
        raise _refused("Only https URLs are asked.")
    if "@" in parts.netloc:
        raise _refused("A URL that holds a user name or password is not asked.")
    found = _NETLOC.fullmatch(parts.netloc)
    if found is None:
        raise _refused("The URL names no host.")
    try:
        literal, name, digits = found.groups()
        host = str(ipaddress.IPv6Address(literal)) if literal else _ascii(name)
    except ValueError:
        raise _refused("The URL names no host.") from None
    port = int(digits) if digits else _PORTS[parts.scheme]
    if not 0 < port < 2**16:
        raise _refused(f"{host} has no such port.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port, quote(path, safe=_PATH_SAFE)


def _ascii(name: str) -> str:
    """Return a host name as DNS spells it. Raises ValueError.

    Python's codec is IDNA 2003, which makes another domain of names with ß or ς than browsers
    do: those have to come as `xn--`.
    """
    if any(letter in name for letter in "ßẞς"):
        raise ValueError("spell it as xn--")
    host = name.encode("idna").decode("ascii").lower().removesuffix(".")
    if not _HOST.fullmatch(host):
        raise ValueError("no host name")
    return host


def _resolved(
    host: str, port: int, seconds: float
) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Ask DNS, in a thread of its own: `getaddrinfo` knows no timeout and cannot be stopped."""
    answers: queue.SimpleQueue[list[tuple[socket.AddressFamily, tuple[object, ...]]]] = (
        queue.SimpleQueue()
    )

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            rows = []
        answers.put([(row[0], row[4]) for row in rows])

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        found = answers.get(timeout=max(seconds, 0))
    except queue.Empty:
        found = []
    if not found:
        raise RetryableError(ErrorCode.URL_UNAVAILABLE, f"{host} was not found in DNS.")
    return found


def _refused(why: str) -> PermanentError:
    return PermanentError(ErrorCode.URL_REFUSED, why)
