"""Requests to URLs that clients supply: fetches photographs, posts callbacks.

`policy.py` decides which URLs and addresses are allowed. This module connects to exactly the
address that was checked, never resolving the name again, and verifies the certificate for the
name. No proxies, cookies or content decoding. One deadline covers the whole exchange, from DNS to
the last byte, however slowly the bytes arrive.
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

MAX_REDIRECTS = 3
CONNECT_SECONDS = 5
"""Seconds to connect to one address of a host, so an address that drops packets leaves time for
the next."""
CHUNK_BYTES = 64 * 1024
"""Bytes read from a response at a time."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRYABLE = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Statuses below 500 that may pass; every status from 500 may."""
HEADERS = {"User-Agent": "cutout", "Accept-Encoding": "identity", "Connection": "close"}
MAX_HEADER_CHARACTERS = 200
"""Longer ETags and content types are ignored, as they would appear in reports."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """A response's body and two of its headers. The headers are unverified claims."""

    data: bytes
    etag: str
    """without quotes; empty if the response has none"""
    content_type: str
    """lower case, without parameters; empty if the response has none"""


def fetch(
    url: str,
    max_bytes: int,
    *,
    allow: Sequence[str] = (),
    seconds: float = 30,
    context: ssl.SSLContext | None = None,
) -> FetchResult:
    """GET a file, following up to MAX_REDIRECTS redirects, each checked like the first URL.

    `allow`: see `resolve_target`. `seconds`: for the whole exchange. Raises PermanentError:
    `url_refused`, `url_failed`, `too_many_bytes`; RetryableError: `url_unavailable` (DNS, timeouts,
    broken connections, 408, 425, 429, 5xx).
    """
    deadline = time.monotonic() + seconds
    for _ in range(MAX_REDIRECTS + 1):
        target = resolve_target(url, allow, seconds=deadline - time.monotonic())
        with _request(target, "GET", None, {}, deadline, context) as response:
            if response.status not in REDIRECTS:
                _check_status(target, response.status)
                data = _read(target, response, max_bytes)
                # a connection closed at the deadline looks like the end of the body
                _remaining_seconds(target, deadline)
                etag = _header(response, "ETag").removeprefix("W/").strip('"')
                content_type = _header(response, "Content-Type").partition(";")[0].strip().lower()
                return FetchResult(data, etag, content_type)
            location = response.getheader("Location", "")
        try:
            url = urljoin(url, location)
        except ValueError:
            raise PermanentError(
                ErrorCode.URL_REFUSED, f"{target.host} redirects to a malformed URL."
            ) from None
    raise PermanentError(
        ErrorCode.URL_FAILED, f"{target.host} redirects more than {MAX_REDIRECTS} times."
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
    """POST once and return the status, whatever it is. Redirects are not followed.

    Arguments as of `fetch`; the response's body is not read. Raises PermanentError: `url_refused`,
    `url_failed` (its certificate); RetryableError: `url_unavailable` (DNS, timeouts, broken
    connections).
    """
    deadline = time.monotonic() + seconds
    target = resolve_target(url, allow, seconds)
    with _request(target, "POST", body, headers, deadline, context) as response:
        return response.status


@contextmanager
def _request(
    target: Target,
    method: str,
    body: bytes | None,
    headers: Mapping[str, str],
    deadline: float,
    context: ssl.SSLContext | None,
) -> Iterator[http.client.HTTPResponse]:
    """Send a request and yield the response, its body unread. Translates network errors to ours."""
    try:
        with _connect(target, deadline) as plain, _close_at_deadline(target, plain, deadline):
            link = plain
            if target.secure:
                link = (context or _ssl_context()).wrap_socket(plain, server_hostname=target.host)
            with link:
                connection = http.client.HTTPConnection(target.host, target.port)
                connection.sock = link
                all_headers = {"Host": target.authority, **HEADERS, **headers}
                connection.request(method, target.path, body, all_headers)
                with connection.getresponse() as response:
                    yield response
    except ssl.SSLCertVerificationError:
        raise PermanentError(
            ErrorCode.URL_FAILED, f"{target.host} has no trusted certificate for its name."
        ) from None
    except (http.client.HTTPException, OSError) as error:
        _remaining_seconds(target, deadline)
        raise RetryableError(
            ErrorCode.URL_UNAVAILABLE,
            f"The connection to {target.host} broke ({type(error).__name__}).",
        ) from None


def _connect(target: Target, deadline: float) -> socket:
    """Connect to the first reachable one of the checked addresses."""
    for family, address in target.sockets:
        remaining = _remaining_seconds(target, deadline)
        with suppress(OSError), ExitStack() as undo:
            link = undo.enter_context(socket(family))
            link.settimeout(min(remaining, CONNECT_SECONDS))
            link.connect(address)
            link.settimeout(remaining)
            undo.pop_all()
            return link
    _remaining_seconds(target, deadline)
    raise RetryableError(ErrorCode.URL_UNAVAILABLE, f"{target.host} accepts no connection.")


@contextmanager
def _close_at_deadline(target: Target, link: socket, deadline: float) -> Iterator[None]:
    """Shut a connection down at the deadline, whatever is being read or written.

    A socket's own timeout restarts with each byte. The duplicate stays valid if TLS takes over the
    socket.
    """
    seconds = _remaining_seconds(target, deadline)
    duplicate = link.dup()

    def shut_down() -> None:
        with suppress(OSError):  # already closed by the other side
            duplicate.shutdown(SHUT_RDWR)

    timer = threading.Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        duplicate.close()


def _remaining_seconds(target: Target, deadline: float) -> float:
    """Return the seconds until the deadline. Raises RetryableError (`url_unavailable`) after it."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise RetryableError(ErrorCode.URL_UNAVAILABLE, f"{target.host} took too long to answer.")
    return remaining


def _check_status(target: Target, status: int) -> None:
    message = f"{target.host} answered {status}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in RETRYABLE:
        raise RetryableError(ErrorCode.URL_UNAVAILABLE, message)
    if status != HTTPStatus.OK:
        raise PermanentError(ErrorCode.URL_FAILED, message)


def _read(target: Target, response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    """Return the body. Raises PermanentError (`too_many_bytes`), whatever its headers say."""
    too_many = PermanentError(
        ErrorCode.TOO_MANY_BYTES, f"{target.host} sent more than {max_bytes:,} bytes."
    )
    if response.length is not None and response.length > max_bytes:
        raise too_many
    until_close = response.length is None and not response.chunked
    data = bytearray()
    # `read1`, as `read` trusts a chunk length of -1 and then reads without limit
    while chunk := response.read1(min(CHUNK_BYTES, max_bytes + 1 - len(data))):
        data += chunk
        if len(data) > max_bytes:
            raise too_many
    # bytes are missing; or the headers broke off, so the response declares no length
    if response.length or (until_close and not data):
        raise http.client.IncompleteRead(b"")
    return bytes(data)


def _header(response: http.client.HTTPResponse, name: str) -> str:
    """Return a header, or an empty string if it is missing, too long, or not printable ASCII."""
    value = response.getheader(name, "")
    valid = len(value) <= MAX_HEADER_CHARACTERS and value.isascii() and value.isprintable()
    return value if valid else ""


@cache
def _ssl_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.hostname_checks_common_name = False  # only subject alternative names count: RFC 9525
    return context
