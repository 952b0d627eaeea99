"""`/v1.0/removebg`: the interface that clients of remove.bg speak."""

import base64
import binascii
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from contract.batch import Progress
from contract.errors import CutoutError, ErrorCode
from contract.outcome import Outcome, Status
from contract.storage import open_store
from producer.dispatch import cutouts
from producer.web.api_keys import Scope
from producer.web.context import Backend, TheBackend, admit
from producer.web.cutouts.request import NewCutout, Upload
from producer.web.cutouts.resource import cutout_of, find, submit, waited_for
from producer.web.problems import RETRY_AFTER_SECONDS
from producer.web.removebg import parameters

router = APIRouter(prefix="/v1.0", include_in_schema=False)

WAIT_SECONDS = 60
REFUSALS = {
    ErrorCode.INVALID_API_KEY: (403, "auth_failed", "API Key invalid"),
    ErrorCode.INSUFFICIENT_SCOPE: (403, "auth_failed", "API Key invalid"),
    ErrorCode.TOO_MANY_REQUESTS: (429, "rate_limit_exceeded", "Rate limit exceeded"),
    ErrorCode.QUEUE_FULL: (429, "rate_limit_exceeded", "Rate limit exceeded"),
    ErrorCode.REQUEST_TIMEOUT: (408, "timeout", "The body came too slowly"),
    ErrorCode.TOO_MANY_BYTES: (400, "file_size_too_large", "File too large"),
    ErrorCode.URL_REFUSED: (400, "failed_image_download", "Failed to download given URL"),
    ErrorCode.URL_FAILED: (400, "failed_image_download", "Failed to download given URL"),
}


def refusal(error: CutoutError) -> Response:
    status, code, title = REFUSALS.get(error.code, (503, "unknown_error", "Please try again"))
    body = parameters.error_body(code, title, error.message)
    wait = getattr(error, "retry_after", 0) or (
        RETRY_AFTER_SECONDS if status == HTTPStatus.SERVICE_UNAVAILABLE else 0
    )
    return JSONResponse(body, status, {"Retry-After": str(wait)} if wait else None)


@router.get("/account")
def account(backend: TheBackend, x_api_key: Annotated[str | None, Header()] = None) -> Response:
    """Say that nothing is charged; clients ask before they begin."""
    try:
        admit(backend, x_api_key, Scope.SUBMIT)
    except CutoutError as error:
        return refusal(error)
    nothing = {"total": 0, "subscription": 0, "payg": 0, "enterprise": 0}
    api = {"free_calls": 0, "sizes": "all"}
    return JSONResponse({"data": {"attributes": {"credits": nothing, "api": api}}})


@router.post("/removebg")
async def remove(
    request: Request,
    backend: TheBackend,
    x_api_key: Annotated[str | None, Header()] = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Cut out one photograph and answer with the image."""
    try:
        await run_in_threadpool(admit, backend, x_api_key, Scope.SUBMIT)
        form, upload = await read(request, backend.config.max_bytes)
        wanted = parameters.parse(form)
        new = _new(form, wanted)
        upload = upload or await run_in_threadpool(_decoded, form)
        identity = cutouts.new_cutout_id()
        await run_in_threadpool(submit, backend, identity, new, upload)
        await waited_for(backend, identity, WAIT_SECONDS)
        return await run_in_threadpool(answer, backend, identity, accept)
    except parameters.RefusedError as error:
        return JSONResponse(error.body, error.status)
    except CutoutError as error:
        return refusal(error)


async def read(request: Request, most: int) -> tuple[dict[str, str], Upload | None]:
    """Return the parameters, and the file among them. A photograph in base64 is a parameter."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body: Any = await request.json()
        except (ValueError, RecursionError):
            raise parameters.RefusedError(
                "invalid_json", "Invalid JSON", "The body is no JSON."
            ) from None
        return parameters.texts(body if isinstance(body, dict) else {}), None
    upload = None
    async with request.form(max_files=2, max_fields=50, max_part_size=most) as form:
        texts: dict[str, str] = {}
        for name, value in form.items():
            if isinstance(value, UploadFile):
                texts[name] = value.filename or "image"
                if name == "image_file":
                    upload = Upload(value.filename or "image", await value.read())
            else:
                texts[name] = value
    return texts, upload


def _decoded(form: dict[str, str]) -> Upload | None:
    if not form.get("image_file_b64"):
        return None
    text = form["image_file_b64"].partition(";base64,")[2] or form["image_file_b64"]
    try:
        return Upload("image", base64.b64decode(text, validate=True))
    except binascii.Error:
        raise parameters.RefusedError(
            "invalid_image_file_b64", "Invalid image_file_b64", "It is not base64."
        ) from None


def _new(form: dict[str, str], wanted: parameters.Request) -> NewCutout:
    try:
        source = form["image_url"].strip() if wanted.source == "image_url" else "upload"
        return NewCutout(source=source, rendition=wanted.rendition)
    except ValidationError:
        raise parameters.RefusedError(
            "failed_image_download", "Failed to download given URL", "It is no URL."
        ) from None


def answer(backend: Backend, identity: str, accept: str) -> Response:
    now, outcome = find(backend, identity)
    if outcome is None:
        body = parameters.error_body("timeout", "Please try again", cutout_of(now, None).status)
        return JSONResponse(body, 503, {"Retry-After": "5"})
    if outcome.status is Status.FAILED:
        fetched = bool(now.spec.cutout and now.spec.cutout.source_is_url)
        status, body = parameters.failure(outcome, fetched=fetched)
        return JSONResponse(body, status)
    if outcome.foreground == 0 and outcome.subject is None:
        code, title = parameters.FAILURES[ErrorCode.NO_SUBJECT]
        return JSONResponse(parameters.error_body(code, title, "There is no subject."), 400)
    return _image(now, outcome, accept)


def _image(now: Progress, outcome: Outcome, accept: str) -> Response:
    spec = now.spec
    data = open_store(spec.destination).get(spec.cutout.destination_key if spec.cutout else "").data
    headers = parameters.headers(outcome, outcome.subject)
    if "application/json" in accept:
        found = {
            name.lower().removeprefix("x-").replace("-", "_"): int(value)
            for name, value in headers.items()
            if name.startswith("X-Foreground-")
        }
        body = {"data": {"result_b64": base64.b64encode(data).decode(), **found}}
        return JSONResponse(body, 200, headers)
    return Response(data, 200, headers, spec.recipe.rendition.content_type)
