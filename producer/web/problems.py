"""Error responses: RFC 9457 problem details, with a stable code and the next step."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from contract.errors import NEXT_STEP, REDIS_CODES, CutoutError, ErrorCode
from contract.validation import first_error

STATUS = {
    ErrorCode.INVALID_API_KEY: 401,
    ErrorCode.SIGNATURE_REFUSED: 401,
    ErrorCode.INSUFFICIENT_SCOPE: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.BATCH_UNKNOWN: 404,
    ErrorCode.OBJECT_MISSING: 404,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.BATCH_CONFLICT: 409,
    ErrorCode.NOT_READY: 409,
    ErrorCode.TOO_MANY_BYTES: 413,
    ErrorCode.INVALID_REQUEST: 422,
    ErrorCode.IDEMPOTENCY_CONFLICT: 422,
    ErrorCode.MODEL_UNKNOWN: 422,
    ErrorCode.INVALID_LOCATION: 422,
    ErrorCode.OVERLAPPING_LOCATIONS: 422,
    ErrorCode.NOTHING_TO_DO: 422,
    ErrorCode.INVALID_SCHEDULE: 422,
    ErrorCode.INVALID_MANIFEST: 422,
    ErrorCode.INVALID_RECIPE: 422,
    ErrorCode.RECIPE_UNKNOWN: 422,
    ErrorCode.UNSAFE_KEY: 422,
    ErrorCode.LINK_OUTSIDE: 422,
    ErrorCode.ACCESS_DENIED: 422,
    ErrorCode.OBJECT_ARCHIVED: 422,
    ErrorCode.STORAGE_REFUSED: 422,
    ErrorCode.WRONG_REGION: 422,
    ErrorCode.ENCRYPTION_KEY_REFUSED: 422,
    ErrorCode.INVALID_EVENT: 422,
    ErrorCode.URL_REFUSED: 422,
    ErrorCode.URL_FAILED: 422,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.QUEUE_FULL: 429,
    **dict.fromkeys(REDIS_CODES, 503),
    ErrorCode.NEWER_RELEASE: 503,  # another server may be of that release
    ErrorCode.STORAGE_UNAVAILABLE: 503,
    ErrorCode.STORAGE_FULL: 503,
    ErrorCode.INVALID_CREDENTIALS: 503,
    ErrorCode.URL_UNAVAILABLE: 503,
}
"""The HTTP status of each code. Codes that are not listed are answered 500."""
RETRY_AFTER_SECONDS = 5
"""The Retry-After of a 503 that names no other."""
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An error (RFC 9457). Branch on `code`; the sentences may change."""

    type: str = Field("about:blank", description="Always `about:blank`; `code` tells errors apart.")
    title: str = Field(
        description="The name of the HTTP status.", examples=["Unprocessable Entity"]
    )
    status: int = Field(description="The HTTP status.", examples=[422])
    detail: str = Field(
        description="What went wrong, in one sentence.",
        examples=["rendition.size: Input should be a valid number."],
    )
    code: str = Field(
        description="A stable code that names the error.", examples=["invalid_request"]
    )
    next_step: str = Field(
        description="What to do about it, in one sentence.",
        examples=["Correct the request; /openapi.json describes it."],
    )


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        401: "The request carries no API key or signature, or one that is not valid.",
        403: "The API key lacks the scope that the operation requires.",
        404: "Not found: the cutout, batch, image or object does not exist.",
        405: "The path exists, but not with this method; see the Allow header.",
        408: "The body did not arrive in time.",
        409: "Not possible in the current state, or not ready yet.",
        413: "The body is too large.",
        422: "The request is invalid; `detail` names the field.",
        429: "Rate limit exceeded, or the queue is full; see the Retry-After header.",
        503: "Redis or the object storage is unavailable, or this server is of an older release"
        " than what the request names; see the Retry-After header.",
    }.items()
}
"""The error responses that every operation documents."""


class RequestError(CutoutError):
    """A request that is refused. `retry_after`: seconds after which to try again; 0: no hint."""

    def __init__(self, code: ErrorCode, message: str, retry_after: int = 0) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class ErrorResponse(JSONResponse):
    """Leaves its code and sentence in the scope, for the request's line in the log.

    It may quote a client's text, whatever that holds: JSON can spell half a surrogate pair.
    """

    def __init__(
        self, body: Any, status: int, headers: Mapping[str, str] | None, code: str, detail: str,
        media_type: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(body, status, headers, media_type)
        self._failure = code, detail

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["failure"] = self._failure
        await super().__call__(scope, receive, send)


def response(error: CutoutError) -> ErrorResponse:
    status = STATUS.get(error.code, 500)
    headers = {}
    retry_after = getattr(error, "retry_after", 0)
    if retry_after or status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(retry_after or RETRY_AFTER_SECONDS)
    if status in {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT}:
        headers["Connection"] = "close"  # or the server would go on reading the body
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _problem_response(status, error.code, error.message, headers)


def _problem_response(
    status: int, code: ErrorCode, detail: str, headers: dict[str, str]
) -> ErrorResponse:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, code=code,
        next_step=NEXT_STEP[code],
    )  # fmt: skip
    return ErrorResponse(problem.model_dump(), status, headers, code, detail, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem, errors of the framework included."""

    @app.exception_handler(CutoutError)
    async def cutout_error(_: Request, error: CutoutError) -> JSONResponse:
        return response(error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        return response(RequestError(ErrorCode.INVALID_REQUEST, first_error(error).sentence))

    @app.exception_handler(HTTPException)
    async def http_exception(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, CutoutError):  # raised while the framework read the body
            return response(error.__cause__)
        if error.status_code == HTTPStatus.BAD_REQUEST:
            return response(RequestError(ErrorCode.INVALID_REQUEST, f"{error.detail}."))
        not_found = error.status_code == HTTPStatus.NOT_FOUND
        code = ErrorCode.NOT_FOUND if not_found else ErrorCode.INVALID_REQUEST
        detail = f"{error.detail}."
        return _problem_response(error.status_code, code, detail, dict(error.headers or {}))
