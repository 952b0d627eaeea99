"""The API and the page, as one ASGI app."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from pathlib import Path

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract import names
from contract.errors import CutoutError, ErrorCode
from contract.log import configure
from contract.settings import Settings
from producer.callbacks.delivery import run
from producer.web import batches, problems
from producer.web.context import Backend, Reader, TheBackend, build
from producer.web.cutouts import callback
from producer.web.cutouts import routes as cutouts
from producer.web.cutouts.resource import Cutout
from producer.web.events import routes as events
from producer.web.openapi import document
from producer.web.problems import RequestError
from producer.web.removebg import routes as removebg

log = structlog.get_logger(__name__)

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
"""Of every answer that does not say otherwise."""
SMALL_BYTES = 64 * 1024
"""What a body without a photograph may hold, and a form besides its photograph."""
BODY_SECONDS = 120
"""A body has to arrive within; a stalled one would hold its connection for ever."""
PHOTOGRAPHS = ("/v1/cutouts", "/v1.0/removebg")
LONGEST_SHOWN = 200
SHUTDOWN_SECONDS = 10


class Models(BaseModel):
    models: list[str]
    default: str


rest = APIRouter()


@rest.get("/v1/models", tags=["models"], responses=cutouts.PROBLEMS)
def models(backend: TheBackend, _: Reader) -> Models:
    """List the models that workers serve now."""
    default = backend.config.model
    return Models(models=sorted(backend.served()) or [default], default=default)


@rest.get("/healthz", include_in_schema=False)
def healthy(backend: TheBackend) -> Response:
    backend.ledger.ping()
    return Response("ok\n", media_type="text/plain")


ROUTERS = (cutouts.router, batches.router, removebg.router, events.router, rest)
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, Route)]


class Page(StaticFiles):
    """The page; and what no route is for, which is answered as by the API."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        near = (route for route in ROUTES if route.matches(scope)[0] is Match.PARTIAL)
        if methods := sorted({method for route in near for method in route.methods or ()}):
            allow = {"Allow": ", ".join(methods)}
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers=allow)
        if "\0" in path or scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = await super().get_response(path, scope)
        # asked for each time, told unchanged most times
        response.headers["Cache-Control"] = "no-cache"
        return response


class Guarded:
    """Bounds bodies while they are read, in bytes and seconds; adds the safety headers.

    What nobody foresaw leaves as a problem too, and as one line of the log.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        photographs = scope["path"].startswith(PHOTOGRAPHS)
        most = self._most if photographs else SMALL_BYTES
        read, status, began = 0, 0, time.monotonic()
        deadline: float | None = asyncio.get_running_loop().time() + BODY_SECONDS

        async def bounded() -> Message:
            nonlocal read, deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise RequestError(
                    ErrorCode.REQUEST_TIMEOUT, f"The body did not arrive within {BODY_SECONDS} s."
                ) from None
            if not message.get("more_body"):
                deadline = None  # what comes now is at most that the client has gone
            read += len(message.get("body", b""))
            if read > most:
                raise RequestError(
                    ErrorCode.TOO_MANY_BYTES, f"The body is over the limit of {most:,} bytes."
                )
            return message

        async def safe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*(HEADERS | dict(message["headers"])).items()]
            await send(message)

        try:
            await self._app(scope, bounded, safe)
        except Exception as error:
            log.exception("unexpected error", fault=type(error).__name__)
            if not status:
                problem = problems.answer(CutoutError(ErrorCode.INTERNAL_ERROR, "It failed."))
                await problem(scope, receive, safe)
        # without the query, which is none of the log's business
        log.info(
            "request", method=scope["method"], path=names.printable(scope["path"])[:LONGEST_SHOWN],
            status=int(status), milliseconds=round((time.monotonic() - began) * 1000),
        )  # fmt: skip


@contextlib.asynccontextmanager
async def _delivering(app: FastAPI) -> AsyncIterator[None]:
    """Deliver callbacks meanwhile. Every server of a cluster does; each callback is one's."""
    backend: Backend = app.state.backend
    stop = threading.Event()
    load = partial(callback.load, backend.ledger, backend.store)
    thread = threading.Thread(target=run, args=(backend.callbacks, load, stop.is_set))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await run_in_threadpool(thread.join)


def create_app(backend: Backend) -> FastAPI:
    app = FastAPI(
        lifespan=_delivering,
        title="cutout",
        version="1",
        summary="Cuts the subject out of photographs.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.backend = backend
    problems.install(app)
    app.add_middleware(Guarded, most=backend.config.max_bytes + SMALL_BYTES)
    for router in ROUTERS:
        app.include_router(router)

    @app.webhooks.post("cutout-ended")
    def ended(cutout: Cutout) -> None:
        """Told to a callback_url: signed by Standard Webhooks, at least once, for a day."""

    app.mount("/", Page(directory=STATIC, html=True))
    document(app)
    return app


def serve(config: Settings) -> None:
    """Carry out `cutout serve`. Raises PermanentError (`invalid_setting`)."""
    app = create_app(build(config))
    configure(config)
    uvicorn.run(
        app, host=config.web_address, port=config.web_port, log_config=None, server_header=False,
        # our own line instead: theirs holds the query
        access_log=False,
        # what waits for its image asks again
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )  # fmt: skip
