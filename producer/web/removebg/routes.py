"""`/v1.0/removebg` and `/v1.0/account`: the API that remove.bg's clients speak."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from contract.errors import CutoutError
from producer.dispatch.cutouts import new_cutout_id
from producer.web.api_keys import Scope
from producer.web.auth import admit
from producer.web.body_limits import upload_bytes
from producer.web.context import RequestContext
from producer.web.cutouts.create import create
from producer.web.cutouts.request import NewCutout, Upload
from producer.web.cutouts.wait import wait_for_end
from producer.web.problems import ErrorResponse
from producer.web.removebg.answers import cutout_response
from producer.web.removebg.body import Body, decode_image, read_body
from producer.web.removebg.errors import DOWNLOAD_FAILED, RemoveBgError
from producer.web.removebg.failures import request_response
from producer.web.removebg.parameters import Parameters, parse

router = APIRouter(prefix="/v1.0", include_in_schema=False)

WAIT_SECONDS = 60
"""How long a request waits for its image. After that it is answered 503."""


@router.get("/account")
def read_account(
    request: Request, context: RequestContext, x_api_key: Annotated[str | None, Header()] = None
) -> Response:
    """Report zero credits and no charges. Some clients read this before their first image."""
    try:
        admit(context, x_api_key, Scope.SUBMIT, request)
    except CutoutError as error:
        return request_response(error)
    attributes = {
        "credits": {"total": 0, "subscription": 0, "payg": 0, "enterprise": 0},
        "api": {"free_calls": 0, "sizes": "all"},
    }
    return JSONResponse({"data": {"attributes": attributes}})


@router.post("/removebg")
async def remove_background(
    request: Request,
    context: RequestContext,
    x_api_key: Annotated[str | None, Header()] = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Cut out one photograph and respond with the image."""
    try:
        await run_in_threadpool(admit, context, x_api_key, Scope.SUBMIT, request)
        body = await read_body(request, upload_bytes(context.settings.max_bytes))
        parameters = parse(body.fields)
        new = _new_cutout(body, parameters)
        upload = body.files.get("image_file")
        upload = upload or await run_in_threadpool(decode_image, body.fields)
        cutout_id = new_cutout_id()
        await run_in_threadpool(
            create, context, cutout_id, new, upload, backdrop=_backdrop(body, parameters)
        )
        await wait_for_end(context, cutout_id, WAIT_SECONDS)
        return await run_in_threadpool(
            cutout_response, context, cutout_id, accept, parameters.foreground_type
        )
    except RemoveBgError as error:
        return ErrorResponse(error.body, error.status, None, error.code, str(error))
    except CutoutError as error:
        return request_response(error)


def _new_cutout(body: Body, parameters: Parameters) -> NewCutout:
    is_url = parameters.source == "image_url"
    source = body.fields["image_url"].strip() if is_url else "upload"
    try:
        return NewCutout(source=source, rendition=parameters.rendition)
    except ValidationError:
        raise RemoveBgError(*DOWNLOAD_FAILED, "image_url is not a URL.") from None


def _backdrop(body: Body, parameters: Parameters) -> Upload | str | None:
    if parameters.backdrop is None:
        return None
    if body.fields.get("image_url", "").strip().startswith("s3://"):
        name = parameters.backdrop
        detail = f"{name} needs an uploaded photograph, or one at an https URL."
        raise RemoveBgError(f"invalid_{name}", f"Invalid {name} parameter given", detail)
    return body.files.get(parameters.backdrop) or body.fields[parameters.backdrop].strip()
