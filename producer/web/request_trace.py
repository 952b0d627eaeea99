"""A span around every request, begun by the client's own trace if it sends one."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from contract import traces
from producer.web.request_metrics import METHODS, route_of
from producer.web.sent_status import SentStatus


class RequestTrace:
    """Names method, route and status; path and query are left out: they may hold secrets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = SentStatus(send)
        parent = Headers(scope=scope).get("traceparent", "")
        with traces.span("request", "server", parent) as span:
            await self._app(scope, receive, sent)
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = route_of(scope, sent.status)
            span.rename(f"{method} {route}")
            span.set(
                {
                    "http.request.method": method, "http.route": route,
                    "http.response.status_code": sent.status,
                }
            )  # fmt: skip
            if sent.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.fail(str(sent.status))
