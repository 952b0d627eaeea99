"""What is bounded of every request, before any route sees it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from producer.web import app as web
from producer.web import problems


def sent(body: AsyncIterator[bytes]) -> httpx.Response:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(web.Guarded, most=10)

    @app.post("/v1/cutouts")
    async def read(request: Request) -> int:
        return len(await request.body())

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/v1/cutouts", content=body)

    return asyncio.run(send())


async def pieces(*given: bytes, pause: float = 0) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece
        await asyncio.sleep(pause)


def test_a_body_that_arrives() -> None:
    answer = sent(pieces(b"12345", b"67890"))
    assert (answer.status_code, answer.json()) == (200, 10)


def test_a_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_SECONDS", 0.2)
    answer = sent(pieces(b"1", b"2", pause=60))
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"


def test_a_body_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BODY_SECONDS", 0.2)
    answer = sent(pieces(*[b"1"] * 9, pause=0.05))
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")


def test_more_bytes_than_their_length_claims() -> None:
    answer = sent(pieces(b"12345", b"678901"))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_bytes")
