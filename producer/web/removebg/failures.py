"""How each of our errors is answered in remove.bg's format: status, code and title."""

from http import HTTPStatus

from fastapi import Response

from contract.error_codes import Group
from contract.error_texts import TEXTS
from contract.errors import CutoutError, ErrorCode
from contract.outcome import Outcome
from producer.web.problems import RETRY_AFTER_SECONDS, ErrorResponse
from producer.web.removebg.errors import (
    DOWNLOAD_FAILED,
    UNKNOWN_ERROR,
    UNKNOWN_FOREGROUND,
    error_body,
)

Answer = tuple[int, str, str]
"""Status, code and title."""

INVALID_KEY: Answer = (403, "auth_failed", "API Key invalid")
RATE_LIMIT: Answer = (429, "rate_limit_exceeded", "Rate limit exceeded")
NOT_DOWNLOADED: Answer = (400, *DOWNLOAD_FAILED)
UNREADABLE: Answer = (400, "failed_to_read_image", "There was an error reading the image.")
WRONG_TYPE: Answer = (400, "invalid_file_type", "Invalid file type")
TRY_AGAIN: Answer = (503, "unknown_error", "Please try again")
UNEXPECTED: Answer = (500, *UNKNOWN_ERROR)

REQUEST_ERRORS: dict[ErrorCode, Answer] = {
    ErrorCode.INVALID_API_KEY: INVALID_KEY,
    ErrorCode.INSUFFICIENT_SCOPE: INVALID_KEY,
    ErrorCode.TOO_MANY_REQUESTS: RATE_LIMIT,
    ErrorCode.QUEUE_FULL: RATE_LIMIT,
    ErrorCode.REQUEST_TIMEOUT: (408, "timeout", "The body did not arrive in time"),
    ErrorCode.TOO_MANY_BYTES: (400, "file_size_too_large", "File too large"),
    ErrorCode.URL_REFUSED: NOT_DOWNLOADED,
    ErrorCode.URL_FAILED: NOT_DOWNLOADED,
    ErrorCode.URL_UNAVAILABLE: NOT_DOWNLOADED,
}
"""A request that is refused. Any other code is answered TRY_AGAIN."""

WORKER_ERRORS: dict[ErrorCode, Answer] = {
    ErrorCode.NOTHING_VISIBLE: (400, *UNKNOWN_FOREGROUND),
    ErrorCode.NO_SUBJECT: (400, *UNKNOWN_FOREGROUND),
    ErrorCode.AMBIGUOUS_SUBJECT: (400, *UNKNOWN_FOREGROUND),
    ErrorCode.SUBJECT_CUT_BY_FRAME: (400, *UNKNOWN_FOREGROUND),
    ErrorCode.NOT_AN_IMAGE: WRONG_TYPE,
    ErrorCode.UNSUPPORTED_FORMAT: WRONG_TYPE,
    ErrorCode.TOO_MANY_PIXELS: (400, "resolution_too_high", "Image resolution too high"),
    ErrorCode.TOO_MANY_BYTES: (400, "file_too_large", "File too large"),
    ErrorCode.URL_REFUSED: NOT_DOWNLOADED,
    ErrorCode.URL_FAILED: NOT_DOWNLOADED,
    ErrorCode.URL_UNAVAILABLE: NOT_DOWNLOADED,
    # the photograph is not to blame: its name and its place are our own
    ErrorCode.UNSAFE_KEY: UNEXPECTED,
    ErrorCode.LINK_OUTSIDE: UNEXPECTED,
    ErrorCode.DUPLICATE_DESTINATION: UNEXPECTED,
    ErrorCode.OBJECT_MISSING: UNEXPECTED,
    ErrorCode.ACCESS_DENIED: UNEXPECTED,
    ErrorCode.INTERNAL_ERROR: UNEXPECTED,
    # temporary errors that lasted, and an operator who cancelled
    ErrorCode.EXHAUSTED: TRY_AGAIN,
    ErrorCode.CANCELLED: TRY_AGAIN,
}
"""A photograph that failed. For any other code, see `failure`."""


def failure(code: ErrorCode | None) -> Answer:
    """Return the answer to a photograph that a worker failed with a code.

    A code without a row in WORKER_ERRORS blames the photograph if it is of the group `image`, and
    passes if it is of the group `infrastructure`.
    """
    if code is None:
        return UNEXPECTED
    if code in WORKER_ERRORS:
        return WORKER_ERRORS[code]
    if code in TEXTS[Group.IMAGE]:
        return UNREADABLE
    return TRY_AGAIN if code in TEXTS[Group.INFRASTRUCTURE] else UNEXPECTED


def request_response(error: CutoutError) -> Response:
    """Return the response to a request that is refused."""
    status, code, title = REQUEST_ERRORS.get(error.code, TRY_AGAIN)
    headers = _retry_header(status, getattr(error, "retry_after", 0))
    body = error_body(code, title, error.message)
    return ErrorResponse(body, status, headers, error.code, error.message)


def failure_response(outcome: Outcome, *, source_is_url: bool) -> Response:
    """Return the response to a photograph that failed.

    `source_is_url`: it was to be fetched from a URL of the client's.
    """
    status, code, title = failure(outcome.code)
    if (
        source_is_url
        and outcome.code is ErrorCode.EXHAUSTED
        and ErrorCode.URL_UNAVAILABLE in outcome.message
    ):
        status, code, title = NOT_DOWNLOADED
    detail = outcome.message
    if code == UNKNOWN_ERROR[0]:
        detail = f"{outcome.code}: {detail}"
    body, headers = error_body(code, title, detail), _retry_header(status)
    return ErrorResponse(body, status, headers, outcome.code or code, outcome.message)


def _retry_header(status: int, seconds: int = 0) -> dict[str, str] | None:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        seconds = seconds or RETRY_AFTER_SECONDS
    return {"Retry-After": str(seconds)} if seconds else None
