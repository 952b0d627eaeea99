"""Where Redis is: CUTOUT_REDIS_URL, parsed once for ledger and broker, which must agree."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

REDIS_PORT, SENTINEL_PORT = 6379, 26379

FORMS = (
    "write redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with rediss:// for TLS,"
    " unix:///PATH[?db=DB], or sentinel://[USER:PASSWORD@]HOST[:PORT],.../MASTER[/DB], with"
    " sentinels:// for TLS; percent-encode special characters of the password"
)
SENTINEL_SCHEMES = ("sentinel", "sentinels")
TLS_SCHEMES = ("rediss", "sentinels")
SCHEMES = ("redis", "rediss", "unix", *SENTINEL_SCHEMES)
SENTINEL_SECONDS = 1
"""Seconds to wait for a Sentinel before the next one is asked. A worker's main process does nothing
meanwhile."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    hosts: tuple[tuple[str, int], ...] = ()
    """(host, port) of Redis, or of its Sentinels; empty for a Unix socket"""
    socket: str = ""
    """path of the Unix socket"""
    database: int = 0
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: bool = False
    """the server's certificate is always verified"""
    ca_file: Path | None = None
    """of a CA that is trusted beside those of the system"""
    master: str = ""
    """the name by which the Sentinels know Redis; empty without Sentinel"""
    sentinel_password: str = field(default="", repr=False)

    @classmethod
    def parse(
        cls, url: str, ca_file: Path | None = None, sentinel_password: str | None = None
    ) -> Self:
        """Parse a URL of one of FORMS. Raises ValueError; its text holds nothing of the URL."""
        try:
            parts = _split(url)
            options = _options(parts)
            username, password, hosts = _authority(parts)
        except UnknownOptionError:
            raise
        except ValueError:
            raise ValueError(FORMS) from None
        if parts.scheme not in SCHEMES or parts.fragment:
            raise ValueError(FORMS)
        socket, master, database = _path(parts, options)
        one_host = parts.scheme not in SENTINEL_SCHEMES
        if (socket and hosts) or (not socket and one_host and len(hosts) > 1):
            raise ValueError(FORMS)
        return cls(
            hosts=() if socket else hosts or (("localhost", _port(parts.scheme)),),
            socket=socket, database=database, username=username, password=password,
            tls=parts.scheme in TLS_SCHEMES, ca_file=ca_file, master=master,
            sentinel_password=sentinel_password or "",
        )  # fmt: skip

    @property
    def tls_options(self) -> dict[str, object]:
        """redis-py's arguments about TLS; empty without TLS."""
        if not self.tls:
            return {}
        return {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_check_hostname": True,
            "ssl_ca_certs": str(self.ca_file) if self.ca_file else None,
        }

    @property
    def sentinel_options(self) -> dict[str, object]:
        """redis-py's arguments of a connection to a Sentinel."""
        return {
            "socket_timeout": SENTINEL_SECONDS,
            "socket_connect_timeout": SENTINEL_SECONDS,
            "retry": None,  # the next Sentinel is asked instead
            "password": self.sentinel_password or None,
            **({"ssl": True, **self.tls_options} if self.tls else {}),
        }


class UnknownOptionError(ValueError):
    """An option of the URL, by name, that would have no effect."""


def _split(url: str) -> SplitResult:
    """Return the parts of a URL. Newer Pythons refuse an IPv6 address behind another host."""
    scheme, separator, rest = url.partition("://")
    end = next((place for place, char in enumerate(rest) if char in "/?#"), len(rest))
    return urlsplit(f"{scheme}{separator}{rest[end:]}")._replace(netloc=rest[:end])


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    for name in options:
        if name.startswith("ssl_"):
            raise UnknownOptionError(
                "the server's certificate is always verified, so remove the options ssl_*;"
                " CUTOUT_REDIS_CA names the file of a private CA"
            )
        if name != "db" or parts.scheme != "unix":
            raise UnknownOptionError(f"remove the option {name[:40]!r}, which is not known")
    return options


def _authority(parts: SplitResult) -> tuple[str, str, tuple[tuple[str, int], ...]]:
    """Return user name, password and hosts. urllib's own properties know one host only."""
    user, _, hosts = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    return (
        unquote(username),
        unquote(password),
        tuple(_host(host, parts) for host in hosts.split(",") if host),
    )


def _host(text: str, parts: SplitResult) -> tuple[str, int]:
    host = urlsplit(f"//{text}")
    if not host.hostname:
        raise ValueError
    return host.hostname, host.port or _port(parts.scheme)


def _port(scheme: str) -> int:
    return SENTINEL_PORT if scheme in SENTINEL_SCHEMES else REDIS_PORT


def _path(parts: SplitResult, options: dict[str, str]) -> tuple[str, str, int]:
    """Return the Unix socket, the master's name and the database. Raises ValueError."""
    if parts.scheme == "unix":
        socket, master, database = unquote(parts.path), "", options.get("db", "0")
        complete = len(socket) > 1
    elif parts.scheme in SENTINEL_SCHEMES:
        socket, (master, _, database) = "", parts.path.removeprefix("/").partition("/")
        complete = bool(master)
    else:
        socket, master, database = "", "", parts.path.removeprefix("/")
        complete = True
    database = database or "0"
    if not complete or not database.isascii() or not database.isdigit():
        raise ValueError(FORMS)
    return socket, unquote(master), int(database)


def check_ca_file(path: Path) -> Path:
    """Return the path. Raises ValueError unless it is a file of certificates."""
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificate in PEM form") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    return path
