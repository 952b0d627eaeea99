"""The ASGI app: the API, the page, the middleware, and the threads behind them."""

import contextlib
import threading
from collections.abc import AsyncIterator
from functools import partial

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from contract import traces
from contract.counters import counters
from contract.exposition import CounterMetrics, serving_metrics
from contract.metrics import exported_by
from contract.settings import Settings
from producer.callbacks import delivery
from producer.web import problems
from producer.web.batches import listings
from producer.web.body_limits import body_limits
from producer.web.context import Context, build_context
from producer.web.cutouts import record_keeper
from producer.web.cutouts.callback import load_delivery
from producer.web.middleware import BodyLimits, RateLimitHeaders, RequestLog, SafetyHeaders
from producer.web.openapi import API_ROUTES, create_api
from producer.web.page import Page
from producer.web.request_trace import RequestTrace

SHUTDOWN_SECONDS = 10
"""Seconds that open requests have to end after SIGTERM. Waiting clients then ask again."""


@contextlib.asynccontextmanager
async def _background(app: FastAPI) -> AsyncIterator[None]:
    """Deliver callbacks, keep the records of cutouts and list sources while the server runs.

    All in threads. All servers of a cluster do so; each task is taken by one of them.
    """
    context: Context = app.state.context
    stop = threading.Event()
    load = partial(load_delivery, context.ledger, context.store)
    threads = [
        threading.Thread(target=delivery.run, args=(context.callbacks, load, stop.is_set)),
        threading.Thread(target=record_keeper.run, args=(context, stop)),
        threading.Thread(target=listings.run, args=(context.ledger, stop)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            await run_in_threadpool(thread.join)


def create_app(context: Context) -> FastAPI:
    app = create_api(lifespan=_background)
    app.state.context = context
    problems.install(app)
    # the last one added is the outermost
    app.add_middleware(BodyLimits, limits=body_limits(context.settings.max_bytes))
    app.add_middleware(RequestLog)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(SafetyHeaders)
    if traces.are_on():
        app.add_middleware(RequestTrace)
    app.mount("/", Page(API_ROUTES))
    return app


def serve(settings: Settings) -> None:
    """Run `cutout serve`. Raises PermanentError (`invalid_setting`)."""
    app = create_app(build_context(settings))
    metrics = CounterMetrics(exported_by("api"), counters.rows)
    with serving_metrics(settings, [metrics], is_alive=lambda: True):
        uvicorn.run(
            app, host=settings.web_address, port=settings.web_port, log_config=None,
            server_header=False,
            ws="none",  # there are none, and the page's files cannot answer one
            access_log=False,  # RequestLog leaves the query string out, uvicorn would log it
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )  # fmt: skip
