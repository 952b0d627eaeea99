"""The one way to a URL that a stranger gave us: fetches files, posts callbacks.

`policy.py` says where it may lead. Here we connect to exactly the address that was checked, so DNS
has no second say, and check the certificate for the name. No proxy, no cookie and no decoding: what
is received is what was sent. The time limit holds for all of it together, from DNS to the last
byte, however slowly that drips.
"""

import http.client
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from socket import SHUT_RDWR, socket
from urllib.parse import urljoin

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.safe_http.policy import Target, resolve_target

MOST_REDIRECTS = 3
CONNECT_SECONDS = 5
"""For each address of a host: one that swallows packets leaves time for the next."""
CHUNK_BYTES = 64 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Refusals that time mends, as does any status from 500 on."""
HEADERS = {"User-Agent": "cutout", "Accept-Encoding": "identity", "Connection": "close"}
LABEL_LENGTH = 200
"""Longer ETags and content types are nobody's; they would end up in reports."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    data: bytes
    etag: str
    """without its quotes; empty where there is none"""
    content_type: str
    """lower case, without parameters; what the server says, not what the bytes are"""


def fetch(
    url: str,
    max_bytes: int,
    *,
    allow: Sequence[str] = (),
    seconds: float = 30,
    context: ssl.SSLContext | None = None,
) -> FetchResult:
    """GET a file, over at most three redirects, each checked like the first.

    Raises PermanentError: `url_refused`, `url_failed`, `too_many_bytes`; RetryableError:
    `url_unavailable` (DNS, timeouts, broken connections, 408, 425, 429, 5xx).
    """
    ends = time.monotonic() + seconds
    for _ in range(MOST_REDIRECTS + 1):
        target = resolve_target(url, allow, seconds=ends - time.monotonic())
        with _asked(target, "GET", None, {}, ends, context) as answer:
            if answer.status not in REDIRECTS:
                _check(target, answer.status)
                data = _read(target, answer, max_bytes)
                # a connection that the time limit ended looks like the end of the body
                _left(target, ends)
                etag = _label(answer, "ETag").removeprefix("W/").strip('"')
                kind = _label(answer, "Content-Type").partition(";")[0].strip().lower()
                return FetchResult(data, etag, kind)
            place = answer.getheader("Location", "")
        try:
            url = urljoin(url, place)
        except ValueError:
            raise PermanentError(
                ErrorCode.URL_REFUSED, f"{target.host} redirects to what is no URL."
            ) from None
    raise PermanentError(
        ErrorCode.URL_FAILED, f"{target.host} redirects more than {MOST_REDIRECTS} times."
    )


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow: Sequence[str] = (),
    seconds: float = 15,
    context: ssl.SSLContext | None = None,
) -> int:
    """POST once and return the status, whatever it is; 3xx is not followed, no body is read.

    Raises PermanentError: `url_refused`, `url_failed` (its certificate); RetryableError:
    `url_unavailable` (DNS, timeouts, broken connections).
    """
    ends = time.monotonic() + seconds
    target = resolve_target(url, allow, seconds)
    with _asked(target, "POST", body, headers, ends, context) as answer:
        return answer.status


@contextmanager
def _asked(
    target: Target,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    ends: float,
    context: ssl.SSLContext | None,
) -> Iterator[http.client.HTTPResponse]:
    """Send a request; yield the response up to its headers. Errors of the network become ours."""
    try:
        with _connected(target, ends) as plain, _cut_off(plain, _left(target, ends)):
            link = plain
            if target.secure:
                link = (context or _trust()).wrap_socket(plain, server_hostname=target.host)
            with link:
                exchange = http.client.HTTPConnection(target.host, target.port)
                exchange.sock = link
                rows = {"Host": target.authority, **HEADERS, **headers}
                exchange.request(method, target.path, body, rows)
                with exchange.getresponse() as answer:
                    yield answer
    except ssl.SSLCertVerificationError:
        raise PermanentError(
            ErrorCode.URL_FAILED, f"{target.host} shows no certificate that we trust for its name."
        ) from None
    except (http.client.HTTPException, OSError) as error:
        _left(target, ends)
        raise RetryableError(
            ErrorCode.URL_UNAVAILABLE,
            f"{target.host} broke the exchange off ({type(error).__name__}).",
        ) from None


def _connected(target: Target, ends: float) -> socket:
    """Connect to one of the checked addresses; no name is looked up again."""
    for family, place in target.sockets:
        left = _left(target, ends)
        with suppress(OSError), ExitStack() as undo:
            link = undo.enter_context(socket(family))
            link.settimeout(min(left, CONNECT_SECONDS))
            link.connect(place)
            link.settimeout(left)
            undo.pop_all()
            return link
    _left(target, ends)
    raise RetryableError(ErrorCode.URL_UNAVAILABLE, f"{target.host} takes no connection.")


@contextmanager
def _cut_off(link: socket, seconds: float) -> Iterator[None]:
    """End a connection after `seconds`, whatever is being read or written.

    A socket's own timeout starts anew with each byte. The twin stays ours where TLS takes the
    socket over.
    """
    twin = link.dup()

    def end() -> None:
        with suppress(OSError):  # closed by the other side already
            twin.shutdown(SHUT_RDWR)

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        watch.join()
        twin.close()


def _left(target: Target, ends: float) -> float:
    """Return the seconds that are left. Raises RetryableError (`url_unavailable`) where none is."""
    left = ends - time.monotonic()
    if left <= 0:
        raise RetryableError(ErrorCode.URL_UNAVAILABLE, f"{target.host} took too long to answer.")
    return left


def _check(target: Target, status: int) -> None:
    why = f"{target.host} answered {status}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        raise RetryableError(ErrorCode.URL_UNAVAILABLE, why)
    if status != HTTPStatus.OK:
        raise PermanentError(ErrorCode.URL_FAILED, why)


def _read(target: Target, answer: http.client.HTTPResponse, max_bytes: int) -> bytes:
    """Return the body, at most `max_bytes` of it whatever its headers say."""
    too_many = PermanentError(
        ErrorCode.TOO_MANY_BYTES, f"{target.host} sends more than {max_bytes:,} bytes."
    )
    if answer.length is not None and answer.length > max_bytes:
        raise too_many
    open_end = answer.length is None and not answer.chunked
    data = bytearray()
    # `read1`, as `read` believes a chunk that says it is -1 long, and takes all there is
    while chunk := answer.read1(min(CHUNK_BYTES, max_bytes + 1 - len(data))):
        data += chunk
        if len(data) > max_bytes:
            raise too_many
    # what was promised and did not come; headers that broke off promise nothing
    if answer.length or (open_end and not data):
        raise http.client.IncompleteRead(b"")
    return bytes(data)


def _label(answer: http.client.HTTPResponse, name: str) -> str:
    value = answer.getheader(name, "")
    return value if len(value) <= LABEL_LENGTH and value.isascii() and value.isprintable() else ""


@cache
def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False  # browsers stopped long ago; RFC 9525
    return context
