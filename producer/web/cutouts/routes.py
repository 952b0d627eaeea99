"""`/v1/cutouts`: one photograph in, one image out."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from contract.errors import ErrorCode
from contract.outcome import Status
from contract.rendition import CONTENT_TYPES
from contract.storage import open_store
from producer.dispatch.cutouts import new_cutout_id
from producer.web.auth import Reader, Submitter
from producer.web.context import RequestContext
from producer.web.cutouts.create import create
from producer.web.cutouts.delete import delete
from producer.web.cutouts.idempotent import create_once
from producer.web.cutouts.request import CONTENT, read_request
from producer.web.cutouts.resource import Cutout, cutout_resource, find
from producer.web.cutouts.wait import preferred_wait, wait_for_end
from producer.web.problems import RESPONSES, RequestError

router = APIRouter(prefix="/v1/cutouts", tags=["cutouts"])

CutoutId = Annotated[str, Path(description="The cutout's ID, as returned by `POST /v1/cutouts`.")]
Prefer = Annotated[
    str | None,
    Header(
        description="`wait=N`: wait up to N seconds, at most 60, for the cutout to end"
        " (RFC 7240). Default: do not wait.",
        examples=["wait=30"],
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=200, examples=["order-4711-image-2"],
        description="A text that identifies this request. If a request is sent again with the same"
        " key and the same content within 24 hours, no second cutout is created: the response"
        " shows the first one, unless that has failed. The same text with other content is refused"
        " (`idempotency_conflict`). Clients with different API keys do not share these texts.",
    ),
]  # fmt: skip


@router.post(
    "", status_code=202, summary="Create a cutout",
    response_description="The cutout was created and has not ended yet.",
    responses={
        200: {"model": Cutout, "description": "The cutout ended within the time to wait."},
        **RESPONSES,
    },
    openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
)  # fmt: skip
async def create_cutout(
    request: Request,
    response: Response,
    context: RequestContext,
    key: Submitter,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Cutout:
    """Cut the subject out of one photograph.

    Either upload the photograph (multipart/form-data, field `image`), or name its location in
    storage or on the web (JSON, field `source`).

    Answers 202 at once, while the image is processed. With `Prefer: wait=N` it answers 200 as soon
    as the cutout has ended, and 202 if that takes longer than N seconds. The header `Location` is
    the cutout's path. Requires a key with the scope `submit`.
    """
    new, upload = await read_request(request)
    if idempotency_key is None:
        cutout_id = new_cutout_id()
        await run_in_threadpool(create, context, cutout_id, new, upload)
    else:
        cutout_id = await create_once(context, key.name, idempotency_key, new, upload)
    cutout = await wait_for_end(context, cutout_id, preferred_wait(prefer))
    response.headers["Location"] = f"/v1/cutouts/{cutout_id}"
    response.status_code = 200 if cutout.ended else 202
    return cutout


@router.get(
    "/{cutout_id}", summary="Read a cutout", response_description="The cutout.",
    responses=RESPONSES,
)  # fmt: skip
async def read_cutout(
    cutout_id: CutoutId, context: RequestContext, _: Reader, prefer: Prefer = None
) -> Cutout:
    """Read a cutout's status. With `Prefer: wait=N`, wait up to N seconds for it to end.

    Requires a key with the scope `read`.
    """
    return await wait_for_end(context, cutout_id, preferred_wait(prefer))


@router.get(
    "/{cutout_id}/image", summary="Download the output",
    responses={
        200: {
            "content": {content_type: {} for content_type in CONTENT_TYPES.values()},
            "description": "The output.",
        },
        304: {"description": "The client already has this output (`If-None-Match`)."},
        **RESPONSES,
    },
    response_class=Response,
)  # fmt: skip
def read_cutout_image(
    cutout_id: CutoutId,
    context: RequestContext,
    _: Reader,
    if_none_match: Annotated[
        str | None, Header(description="The ETag of the output that the client already has.")
    ] = None,
    rendition: Annotated[
        str | None,
        Query(max_length=32, description="The name of a rendition. Default: the first."),
    ] = None,
) -> Response:
    """Download the output: the photograph without its background.

    Answers 409 (`not_ready`) unless the cutout is done; if it failed, that stays so: read its
    status. If it failed, but some of its renditions
    were made, these can be downloaded by name. Requires a key with the scope `read`.
    """
    progress, outcome = find(context, cutout_id)
    spec, renditions = progress.spec, {each.name: each for each in progress.spec.recipe.outputs}
    if rendition is not None and rendition not in renditions:
        raise RequestError(ErrorCode.NOT_FOUND, "The cutout has no rendition of this name.")
    made = {output.name: output for output in outcome.outputs} if outcome else {}
    name = next(iter(renditions)) if rendition is None else rendition
    failed = outcome is None or (outcome.status is Status.FAILED and rendition is None)
    if failed or name not in made:
        status = cutout_resource(progress, outcome).status
        raise RequestError(ErrorCode.NOT_READY, f"The cutout is {status}.")
    blob = open_store(spec.destination).get(made[name].key)
    shown = renditions[name]
    label = f"-{name}" if len(renditions) > 1 else ""
    headers = {
        "ETag": f'"{blob.etag}"',
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f'attachment; filename="{cutout_id}{label}{shown.suffix}"',
    }
    if headers["ETag"] in (if_none_match or ""):
        return Response(None, 304, headers)
    return Response(blob.data, 200, headers, shown.content_type)


@router.delete(
    "/{cutout_id}", status_code=204, summary="Delete a cutout",
    response_description="The cutout was deleted.", responses=RESPONSES,
)  # fmt: skip
def delete_cutout(cutout_id: CutoutId, context: RequestContext, _: Submitter) -> None:
    """Delete a cutout, with its photograph and output in the server's own store.

    If it has not ended, it is not processed any more. Objects at a `source` or `destination` that
    the client named are kept. Requires a key with the scope `submit`.
    """
    progress, _outcome = find(context, cutout_id)
    delete(context, progress.spec)
