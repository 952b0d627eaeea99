import asyncio
import json

import pytest

from contract.error_codes import Group
from contract.error_texts import TEXTS
from contract.errors import CutoutError, ErrorCode
from contract.outcome import Outcome, Output, Status
from producer.web.problems import RequestError
from producer.web.removebg.answers import image_headers
from producer.web.removebg.errors import error_body
from producer.web.removebg.failures import failure_response, request_response


def test_an_error_has_the_format_that_clients_read():
    assert error_body("file_too_large", "File too large", "22 MB at most.") == {
        "errors": [
            {"title": "File too large", "code": "file_too_large", "detail": "22 MB at most."}
        ]
    }


def outcome(**fields) -> Outcome:
    return Outcome(line=0, key="a.jpg", status=fields.pop("status", Status.DONE), **fields)


def answer(code: ErrorCode, message: str = "It is so.", *, source_is_url: bool = False):
    """Return the status and remove.bg's code of a photograph that failed."""
    failed = outcome(status=Status.FAILED, code=code, message=message)
    response = failure_response(failed, source_is_url=source_is_url)
    (error,) = json.loads(response.body)["errors"]
    assert message in error["detail"]
    assert ("retry-after" in response.headers) == (response.status_code == 503)
    return response.status_code, error["code"]


def test_the_headers_of_an_image():
    done = outcome(outputs=[Output(key="a.png", width=300, height=200)])
    assert image_headers(done) == {"X-Credits-Charged": "0", "X-Width": "300", "X-Height": "200"}
    assert image_headers(done, "product") == image_headers(done) | {"X-Type": "product"}
    boxed = done.model_copy(update={"subject": (10, 20, 110, 170)})
    assert image_headers(boxed) == image_headers(done) | {
        "X-Foreground-Top": "20", "X-Foreground-Left": "10",
        "X-Foreground-Width": "100", "X-Foreground-Height": "150",
    }  # fmt: skip
    assert image_headers(outcome(status=Status.SKIPPED)) == {"X-Credits-Charged": "0"}


OWN_FAULTS = {
    ErrorCode.UNSAFE_KEY, ErrorCode.LINK_OUTSIDE, ErrorCode.DUPLICATE_DESTINATION,
    ErrorCode.OBJECT_MISSING, ErrorCode.ACCESS_DENIED, ErrorCode.INTERNAL_ERROR,
}  # fmt: skip
"""Codes that a worker can give and that are the server's fault: no client can do anything."""
TEMPORARY = {ErrorCode.EXHAUSTED, ErrorCode.CANCELLED}


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_that_a_worker_can_give_is_mapped(code: ErrorCode):
    """The photograph is to blame, or the client may try again, or the server is at fault."""
    status, removebg_code = answer(code)
    is_url = code in {ErrorCode.URL_REFUSED, ErrorCode.URL_FAILED, ErrorCode.URL_UNAVAILABLE}
    if code in OWN_FAULTS or code not in TEXTS[Group.IMAGE] | TEXTS[Group.INFRASTRUCTURE]:
        assert (status, removebg_code) == (500, "unknown_error")
    elif is_url:
        assert (status, removebg_code) == (400, "failed_image_download")
    elif code in TEMPORARY or code in TEXTS[Group.INFRASTRUCTURE]:
        assert (status, removebg_code) == (503, "unknown_error")
    else:
        assert (status, removebg_code != "unknown_error") == (400, True)


@pytest.mark.parametrize(
    ("code", "removebg_code"),
    [
        (ErrorCode.NO_SUBJECT, "unknown_foreground"),
        (ErrorCode.AMBIGUOUS_SUBJECT, "unknown_foreground"),
        (ErrorCode.SUBJECT_CUT_BY_FRAME, "unknown_foreground"),
        (ErrorCode.TRUNCATED_IMAGE, "failed_to_read_image"),
        (ErrorCode.POISONED, "failed_to_read_image"),
        (ErrorCode.UNSUPPORTED_FORMAT, "invalid_file_type"),
        (ErrorCode.TOO_MANY_PIXELS, "resolution_too_high"),
        (ErrorCode.TOO_MANY_BYTES, "file_too_large"),
    ],
)
def test_a_photograph_that_is_to_blame(code: ErrorCode, removebg_code: str):
    assert answer(code) == (400, removebg_code)


def test_a_server_that_stays_away_is_a_failed_download_only_for_a_url():
    message = "6 attempts failed with url_unavailable: shop.example answered 503."
    assert answer(ErrorCode.EXHAUSTED, message, source_is_url=True) == (
        400, "failed_image_download",
    )  # fmt: skip
    assert answer(ErrorCode.EXHAUSTED, message) == (503, "unknown_error")
    message = "6 attempts failed with storage_unavailable: it did not answer."
    assert answer(ErrorCode.EXHAUSTED, message, source_is_url=True) == (503, "unknown_error")


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_refused_request_has_an_answer(code: ErrorCode):
    response = request_response(CutoutError(code, "It is so."))
    (error,) = json.loads(response.body)["errors"]
    assert error["detail"] == "It is so."
    assert response.status_code in {400, 403, 408, 429, 503}
    assert ("retry-after" in response.headers) == (response.status_code == 503)
    later = request_response(RequestError(code, "It is so.", 7))
    assert later.headers["retry-after"] == "7"


def test_the_log_learns_our_own_code_of_a_refusal():
    failed = outcome(status=Status.FAILED, code=ErrorCode.EXHAUSTED, message="Down.")
    for response, code in (
        (request_response(CutoutError(ErrorCode.REDIS_UNAVAILABLE, "Down.")), "redis_unavailable"),
        (failure_response(failed, source_is_url=False), "exhausted"),
    ):
        scope: dict = {"type": "http"}

        async def send(_: object) -> None: ...

        asyncio.run(response(scope, send, send))
        assert scope["state"]["failure"] == (code, "Down.")
