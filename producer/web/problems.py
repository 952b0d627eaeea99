"""Every error of the API as RFC 9457 tells it, with our stable code and the next step."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from contract.errors import NEXT_STEP, CutoutError, ErrorCode

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
    ErrorCode.UNSAFE_KEY: 422,
    ErrorCode.ACCESS_DENIED: 422,
    ErrorCode.INVALID_EVENT: 422,
    ErrorCode.URL_REFUSED: 422,
    ErrorCode.URL_FAILED: 422,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.QUEUE_FULL: 429,
    ErrorCode.REDIS_UNAVAILABLE: 503,
    ErrorCode.STORAGE_UNAVAILABLE: 503,
    ErrorCode.URL_UNAVAILABLE: 503,
}
RETRY_AFTER_SECONDS = 5
MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    next_step: str


class RequestError(CutoutError):
    """Something is wrong with a request; `retry_after` in seconds, where waiting helps."""

    def __init__(self, code: ErrorCode, message: str, retry_after: int = 0) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


def answer(error: CutoutError) -> JSONResponse:
    status = STATUS.get(error.code, 500)
    headers = {}
    retry_after = getattr(error, "retry_after", 0)
    if retry_after or status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(retry_after or RETRY_AFTER_SECONDS)
    if status in {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.REQUEST_TIMEOUT}:
        headers["Connection"] = "close"  # or the rest of the body would be waited for
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _respond(status, error.code, error.message, headers)


def _respond(status: int, code: ErrorCode, detail: str, headers: dict[str, str]) -> JSONResponse:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, code=code,
        next_step=NEXT_STEP[code],
    )  # fmt: skip
    return JSONResponse(problem.model_dump(), status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have every error leave the app as a problem, those of the framework too."""

    @app.exception_handler(CutoutError)
    async def ours(_: Request, error: CutoutError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return answer(RequestError(ErrorCode.INVALID_REQUEST, f"{where}: {first['msg']}."))

    @app.exception_handler(HTTPException)
    async def framework(_: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, CutoutError):  # raised while a body was read
            return answer(error.__cause__)
        if error.status_code == HTTPStatus.BAD_REQUEST:
            return answer(RequestError(ErrorCode.INVALID_REQUEST, f"{error.detail}."))
        missing = error.status_code == HTTPStatus.NOT_FOUND
        code = ErrorCode.NOT_FOUND if missing else ErrorCode.INVALID_REQUEST
        return _respond(error.status_code, code, f"{error.detail}.", dict(error.headers or {}))
