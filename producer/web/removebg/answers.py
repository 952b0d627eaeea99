"""Responses in remove.bg's format: the image, or an error with remove.bg's code and title."""

import base64
from http import HTTPStatus

from fastapi import Response
from fastapi.responses import JSONResponse

from contract.batch import Progress
from contract.errors import CutoutError, ErrorCode
from contract.outcome import Outcome, Status
from contract.storage import open_store
from producer.web.context import Context
from producer.web.cutouts.resource import cutout_resource, find
from producer.web.problems import RETRY_AFTER_SECONDS
from producer.web.removebg.errors import UNKNOWN_FOREGROUND, ErrorBody, error_body

DOWNLOAD_FAILED = ("failed_image_download", "Failed to download given URL")
UNREADABLE = ("failed_to_read_image", "There was an error reading the image.")
REQUEST_ERRORS = {
    ErrorCode.INVALID_API_KEY: (403, "auth_failed", "API Key invalid"),
    ErrorCode.INSUFFICIENT_SCOPE: (403, "auth_failed", "API Key invalid"),
    ErrorCode.TOO_MANY_REQUESTS: (429, "rate_limit_exceeded", "Rate limit exceeded"),
    ErrorCode.QUEUE_FULL: (429, "rate_limit_exceeded", "Rate limit exceeded"),
    ErrorCode.REQUEST_TIMEOUT: (408, "timeout", "The body did not arrive in time"),
    ErrorCode.TOO_MANY_BYTES: (400, "file_size_too_large", "File too large"),
    ErrorCode.URL_REFUSED: (400, *DOWNLOAD_FAILED),
    ErrorCode.URL_FAILED: (400, *DOWNLOAD_FAILED),
}
"""Status, code and title of a request that is refused. For any other code, 503."""
IMAGE_ERRORS = {
    ErrorCode.NO_SUBJECT: UNKNOWN_FOREGROUND,
    ErrorCode.EMPTY_FILE: UNREADABLE,
    ErrorCode.TRUNCATED_IMAGE: UNREADABLE,
    ErrorCode.CORRUPT_IMAGE: UNREADABLE,
    ErrorCode.NOT_AN_IMAGE: ("invalid_file_type", "Invalid file type"),
    ErrorCode.UNSUPPORTED_FORMAT: ("invalid_file_type", "Invalid file type"),
    ErrorCode.TOO_MANY_PIXELS: ("resolution_too_high", "Image resolution too high"),
    ErrorCode.TOO_MANY_BYTES: ("file_too_large", "File too large"),
}
"""Code and title of a photograph that cannot be processed. For any other code, status 500."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are exclusive."""


def request_error(error: CutoutError) -> Response:
    """Return the response to a request that is refused."""
    status, code, title = REQUEST_ERRORS.get(error.code, (503, "unknown_error", "Please try again"))
    retry_after = getattr(error, "retry_after", 0)
    if not retry_after and status == HTTPStatus.SERVICE_UNAVAILABLE:
        retry_after = RETRY_AFTER_SECONDS
    headers = {"Retry-After": str(retry_after)} if retry_after else None
    return JSONResponse(error_body(code, title, error.message), status, headers)


def image_error(outcome: Outcome, *, source_is_url: bool = False) -> tuple[int, ErrorBody]:
    """Return status and body for a failed cutout: 400 if the photograph is to blame, else 500."""
    if source_is_url and ErrorCode.URL_UNAVAILABLE in outcome.message:
        return HTTPStatus.BAD_REQUEST, error_body(*DOWNLOAD_FAILED, outcome.message)
    if outcome.code in IMAGE_ERRORS:
        return HTTPStatus.BAD_REQUEST, error_body(*IMAGE_ERRORS[outcome.code], outcome.message)
    detail = f"{outcome.code}: {outcome.message}"
    return HTTPStatus.INTERNAL_SERVER_ERROR, error_body(
        "unknown_error", "An unknown error happened.", detail
    )


def image_headers(outcome: Outcome, subject: Box | None = None) -> dict[str, str]:
    """Return the headers that remove.bg sends with an image.

    `subject`: the subject's box in the photograph, if known. X-Type is missing, as with remove.bg's
    `type_level=none`: nothing is classified. No credits are charged.
    """
    headers = {"X-Credits-Charged": "0"}
    if outcome.width is not None and outcome.height is not None:
        headers |= {"X-Width": str(outcome.width), "X-Height": str(outcome.height)}
    if subject:
        left, top, right, bottom = subject
        numbers = {"Top": top, "Left": left, "Width": right - left, "Height": bottom - top}
        headers |= {f"X-Foreground-{name}": str(number) for name, number in numbers.items()}
    return headers


def cutout_response(context: Context, cutout_id: str, accept: str) -> Response:
    """Return the image of a cutout, or the error if it failed or has not ended.

    `accept`: the request's Accept header. With `application/json`, the image is base64 in JSON.
    """
    progress, outcome = find(context, cutout_id)
    if outcome is None:
        detail = f"The image is still {cutout_resource(progress, None).status}."
        body = error_body("timeout", "Please try again", detail)
        return JSONResponse(body, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    if outcome.status is Status.FAILED:
        cutout = progress.spec.cutout
        status, body = image_error(outcome, source_is_url=bool(cutout and cutout.source_is_url))
        return JSONResponse(body, status)
    if outcome.foreground == 0 and outcome.subject is None:
        body = error_body(*UNKNOWN_FOREGROUND, "No subject was found in the photograph.")
        return JSONResponse(body, HTTPStatus.BAD_REQUEST)
    return _image_response(progress, outcome, accept)


def _image_response(progress: Progress, outcome: Outcome, accept: str) -> Response:
    spec = progress.spec
    key = spec.cutout.destination_key if spec.cutout else ""
    data = open_store(spec.destination).get(key).data
    headers = image_headers(outcome, outcome.subject)
    if "application/json" in accept:
        foreground = {
            name.lower().removeprefix("x-").replace("-", "_"): int(value)
            for name, value in headers.items()
            if name.startswith("X-Foreground-")
        }
        body = {"data": {"result_b64": base64.b64encode(data).decode(), **foreground}}
        return JSONResponse(body, 200, headers)
    return Response(data, 200, headers, spec.recipe.rendition.content_type)
