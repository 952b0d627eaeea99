import pytest

from contract.errors import ErrorCode
from contract.outcome import Outcome, Status
from producer.web.removebg.answers import IMAGE_ERRORS, image_error, image_headers
from producer.web.removebg.errors import error_body


def test_an_error_has_the_format_that_clients_read():
    assert error_body("file_too_large", "File too large", "22 MB at most.") == {
        "errors": [
            {"title": "File too large", "code": "file_too_large", "detail": "22 MB at most."}
        ]
    }


def outcome(**fields) -> Outcome:
    return Outcome(line=0, key="a.jpg", status=fields.pop("status", Status.DONE), **fields)


def test_the_headers_of_an_image():
    done = outcome(width=300, height=200)
    assert image_headers(done) == {"X-Credits-Charged": "0", "X-Width": "300", "X-Height": "200"}
    assert image_headers(done, (10, 20, 110, 170)) == image_headers(done) | {
        "X-Foreground-Top": "20", "X-Foreground-Left": "10",
        "X-Foreground-Width": "100", "X-Foreground-Height": "150",
    }  # fmt: skip
    assert image_headers(outcome(status=Status.SKIPPED)) == {"X-Credits-Charged": "0"}


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_failure_has_an_answer(code: ErrorCode):
    status, body = image_error(outcome(status=Status.FAILED, code=code, message="It is so."))
    (error,) = body["errors"]
    assert (status, error["code"]) == (
        (400, IMAGE_ERRORS[code][0]) if code in IMAGE_ERRORS else (500, "unknown_error")
    )
    assert "It is so." in error["detail"]


def test_no_subject_is_an_unknown_foreground():
    failed = outcome(status=Status.FAILED, code=ErrorCode.NO_SUBJECT, message="None.")
    assert image_error(failed)[1]["errors"][0]["code"] == "unknown_foreground"
