"""What happens around every request: body limits, safety headers, one line in the log."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract import names
from contract.errors import CutoutError, ErrorCode
from producer.web import problems
from producer.web.body_limits import BodyLimit, max_body_bytes
from producer.web.problems import RequestError
from producer.web.request_metrics import count_request
from producer.web.sent_status import SentStatus

log = structlog.get_logger(__name__)

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFETY_HEADERS = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
BODY_SECONDS = 120
"""Seconds within which a body must arrive: a stalled upload would hold its connection forever."""
MAX_LOGGED_PATH = 200
"""Characters of a request's path in the log."""


class SafetyHeaders:
    """Adds SAFETY_HEADERS to every response that does not set them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*(SAFETY_HEADERS | dict(message["headers"])).items()]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class RateLimitHeaders:
    """Adds to every response to a known API key how much of its rate limit is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            usage = scope.get("state", {}).get("rate_usage")
            if usage and message["type"] == "http.response.start":
                headers = [(name.encode(), value.encode()) for name, value in usage.headers.items()]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class RequestLog:
    """Logs and counts every request; answers an unexpected exception with `internal_error`.

    The line of a request that is answered 5xx says why: code and sentence, as the client sees them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent, started = SentStatus(send), time.monotonic()
        state = scope.setdefault("state", {})
        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            pass  # before its body had arrived: nobody reads an answer, and nothing is at fault
        except Exception as error:
            log.exception("unexpected error", fault=type(error).__name__)
            if not sent.status:
                failure = CutoutError(ErrorCode.INTERNAL_ERROR, "The server failed unexpectedly.")
                await problems.response(failure)(scope, receive, sent)
        seconds, status = time.monotonic() - started, int(sent.status)
        count_request(scope, status, seconds)
        # the query string is left out: it may hold secrets
        line = {
            "method": scope["method"], "path": names.printable(scope["path"])[:MAX_LOGGED_PATH],
            "status": status, "milliseconds": round(seconds * 1000),
        }  # fmt: skip
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            code, reason = state.get("failure", ("", ""))
            log.warning("request", **line, code=str(code), reason=names.printable(reason))
        else:
            log.info("request", **line)


class BodyLimits:
    """Limits the size of a body and the time it takes to arrive, while the route reads it."""

    def __init__(self, app: ASGIApp, limits: Sequence[BodyLimit]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        content_type = Headers(scope=scope).get("content-type", "")
        max_bytes = max_body_bytes(self._limits, scope["path"], content_type)
        received = 0
        deadline: float | None = asyncio.get_running_loop().time() + BODY_SECONDS

        async def receive_within_limits() -> Message:
            nonlocal received, deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise RequestError(
                    ErrorCode.REQUEST_TIMEOUT, f"The body did not arrive within {BODY_SECONDS} s."
                ) from None
            if not message.get("more_body"):
                deadline = None  # the only message left is `http.disconnect`, at any time
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise RequestError(
                    ErrorCode.TOO_MANY_BYTES,
                    f"The body is larger than the limit of {max_bytes:,} bytes.",
                )
            return message

        await self._app(scope, receive_within_limits, send)
