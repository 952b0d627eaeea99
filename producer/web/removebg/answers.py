"""Responses in remove.bg's format: the image, or an error with remove.bg's code and title."""

import base64
from http import HTTPStatus

from fastapi import Response
from fastapi.responses import JSONResponse

from contract.batch import Progress
from contract.outcome import Outcome, Status
from contract.storage import open_store
from producer.web.context import Context
from producer.web.cutouts.resource import cutout_resource, find
from producer.web.problems import RETRY_AFTER_SECONDS, ErrorResponse
from producer.web.removebg.accept import wants_json
from producer.web.removebg.errors import UNKNOWN_FOREGROUND, error_body
from producer.web.removebg.failures import failure_response

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are exclusive."""


def image_headers(outcome: Outcome, foreground_type: str | None = None) -> dict[str, str]:
    """Return the headers that remove.bg sends with an image. No credits are charged.

    `foreground_type`: what the client said that the photograph shows; nothing is classified here.
    None: X-Type is left out, as with `type_level=none`.
    """
    headers = {"X-Credits-Charged": "0"}
    if foreground_type:
        headers["X-Type"] = foreground_type
    if outcome.width is not None and outcome.height is not None:
        headers |= {"X-Width": str(outcome.width), "X-Height": str(outcome.height)}
    if outcome.subject:
        left, top, right, bottom = outcome.subject
        numbers = {"Top": top, "Left": left, "Width": right - left, "Height": bottom - top}
        headers |= {f"X-Foreground-{name}": str(number) for name, number in numbers.items()}
    return headers


def cutout_response(
    context: Context, cutout_id: str, accept: str, foreground_type: str | None
) -> Response:
    """Return the image of a cutout, or the error if it failed or has not ended.

    `accept`: the request's Accept header, which may ask for the image as base64 in JSON.
    """
    progress, outcome = find(context, cutout_id)
    if outcome is None:
        detail = f"The image is still {cutout_resource(progress, None).status}."
        code = "timeout"
        body = error_body(code, "Please try again", detail)
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return ErrorResponse(body, 503, headers, code, f"{cutout_id}: {detail}")
    if outcome.status is Status.FAILED:
        cutout = progress.spec.cutout
        return failure_response(outcome, source_is_url=bool(cutout and cutout.source_is_url))
    if outcome.foreground == 0 and outcome.subject is None:
        body = error_body(*UNKNOWN_FOREGROUND, "No subject was found in the photograph.")
        return JSONResponse(body, HTTPStatus.BAD_REQUEST)
    return _image_response(progress, outcome, accept, foreground_type)


def _image_response(
    progress: Progress, outcome: Outcome, accept: str, foreground_type: str | None
) -> Response:
    spec = progress.spec
    key = spec.cutout.destination_key if spec.cutout else ""
    data = open_store(spec.destination).get(key).data
    headers = image_headers(outcome, foreground_type)
    content_type = spec.recipe.renditions[0].content_type
    if not wants_json(accept, content_type):
        return Response(data, 200, headers, content_type)
    foreground = {
        name.lower().removeprefix("x-").replace("-", "_"): int(value)
        for name, value in headers.items()
        if name.startswith("X-Foreground-")
    }
    body = {"data": {"result_b64": base64.b64encode(data).decode(), **foreground}}
    return JSONResponse(body, 200, headers)
