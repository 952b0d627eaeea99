import asyncio

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from contract.counters import counters
from contract.metrics import API_REQUESTS, API_SECONDS
from producer.web.middleware import RequestLog
from producer.web.openapi import API_ROUTES
from producer.web.page import Page


def app() -> RequestLog:
    inner = FastAPI()

    @inner.get("/v1/cutouts/{cutout_id}")
    def read(cutout_id: str) -> str:
        if cutout_id == "missing":
            raise HTTPException(404)
        return cutout_id

    inner.mount("/", Page(API_ROUTES))
    return RequestLog(inner)


def request(path: str, method: str = "GET") -> dict[tuple[str, ...], float]:
    """Send a request; return what it added to the counter of requests."""
    before = counters.rows()

    async def send() -> None:
        transport = httpx.ASGITransport(app())
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            await client.request(method, path)

    asyncio.run(send())
    after = counters.rows()
    changed = {
        labels: row[0] - before.get((name, labels), [0])[0]
        for (name, labels), row in after.items()
        if name == API_REQUESTS.name
    }
    return {labels: count for labels, count in changed.items() if count}


@pytest.mark.parametrize(
    ("path", "method", "labels"),
    [
        ("/v1/cutouts/a", "GET", ("GET", "/v1/cutouts/{cutout_id}", "200")),
        ("/v1/cutouts/b", "GET", ("GET", "/v1/cutouts/{cutout_id}", "200")),
        ("/v1/cutouts/missing", "GET", ("GET", "/v1/cutouts/{cutout_id}", "404")),
        ("/", "GET", ("GET", "page", "200")),
        ("/wp-login.php", "GET", ("GET", "other", "404")),
        ("/wp-admin/1234", "GET", ("GET", "other", "404")),
        ("/", "BREW", ("other", "other", "404")),
    ],
)
def test_a_request_is_counted_by_the_template_of_its_path(path, method, labels):
    assert request(path, method) == {labels: 1}


def test_durations_are_counted_by_route():
    request("/v1/cutouts/a")
    row = counters.rows()[API_SECONDS.name, ("GET", "/v1/cutouts/{cutout_id}")]
    assert sum(row[:-1]) >= 1
    assert row[-1] > 0
