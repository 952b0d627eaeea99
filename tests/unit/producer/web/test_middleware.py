"""Limits on the body of every request, safety headers, unexpected errors."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request
from structlog.testing import capture_logs

from contract.errors import ErrorCode, RetryableError
from producer.web import middleware, problems
from producer.web.body_limits import BodyLimit


def application() -> FastAPI:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(middleware.BodyLimits, limits=[BodyLimit("", "", 10)])
    app.add_middleware(middleware.RequestLog)
    app.add_middleware(middleware.SafetyHeaders)

    @app.post("/v1/cutouts")
    async def read(request: Request) -> int:
        body = await request.body()
        if body == b"bug":
            raise ZeroDivisionError
        if body == b"down":
            raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "s3://b is\nslow.")
        if body == b"half":
            raise problems.RequestError(ErrorCode.INVALID_REQUEST, "\ud800: no. é")
        return len(body)

    return app


def sent(body: AsyncIterator[bytes]) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(application())
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/v1/cutouts", content=body)

    return asyncio.run(send())


async def pieces(*chunks: bytes, pause: float = 0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(pause)


def test_a_body_that_arrives() -> None:
    answer = sent(pieces(b"12345", b"67890"))
    assert (answer.status_code, answer.json()) == (200, 10)


def test_a_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.2)
    answer = sent(pieces(b"1", b"2", pause=60))
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"


def test_a_body_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.2)
    answer = sent(pieces(*[b"1"] * 9, pause=0.05))
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")


def test_more_bytes_than_the_limit() -> None:
    answer = sent(pieces(b"12345", b"678901"))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_bytes")


@pytest.mark.slow
def test_every_response_has_the_safety_headers() -> None:
    for chunks in ([b"1"], [b"bug"], [b"12345678901"]):
        answer = sent(pieces(*chunks))
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.slow
def test_an_unexpected_error_is_a_problem() -> None:
    answer = sent(pieces(b"bug"))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" not in answer.text


def logged(body: bytes) -> dict:
    """The line that the log has of a request."""
    with capture_logs() as lines:
        sent(pieces(body))
    (line,) = (line for line in lines if line["event"] == "request")
    return line


def test_the_log_says_why_a_request_is_answered_5xx() -> None:
    line = logged(b"down")
    assert (line["status"], line["log_level"]) == (503, "warning")
    assert (line["code"], line["reason"]) == ("storage_unavailable", "s3://b is\\nslow.")
    bug = logged(b"bug")
    assert (bug["status"], bug["code"]) == (500, "internal_error")
    assert bug["reason"] == "The server failed unexpectedly."


def test_a_client_that_goes_away_is_no_error() -> None:
    """Not in the log, nor in the count of requests: an alert looks at those with 5xx."""
    app, messages = application(), iter(["http.request", "http.disconnect"])
    answers: list[dict] = []

    async def receive() -> dict:
        return {"type": next(messages), "body": b"1", "more_body": True}

    async def send(message: dict) -> None:
        answers.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/cutouts", "raw_path": b"/v1/cutouts",
        "root_path": "", "query_string": b"", "headers": [], "http_version": "1.1",
    }  # fmt: skip
    with capture_logs() as lines:
        asyncio.run(app(scope, receive, send))
    assert [(line["event"], line["status"], line["log_level"]) for line in lines] == [
        ("request", 0, "info")
    ]
    assert answers == []


def test_an_error_may_quote_any_text_of_a_client() -> None:
    """JSON can spell half a surrogate pair, which UTF-8 cannot."""
    answer = sent(pieces(b"half"))
    assert (answer.status_code, answer.json()["detail"]) == (422, "\ud800: no. é")


def test_the_log_is_silent_about_a_clients_mistakes() -> None:
    for body, status in ((b"1", 200), (b"12345678901", 413)):
        line = logged(body)
        assert (line["status"], line["log_level"]) == (status, "info")
        assert "reason" not in line
