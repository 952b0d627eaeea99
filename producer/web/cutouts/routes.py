"""`/v1/cutouts`: one photograph in, one cut-out out."""

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from contract.errors import ErrorCode
from contract.outcome import Status
from contract.storage import open_store
from producer.dispatch import cutouts
from producer.web.context import Reader, Submitter, TheBackend
from producer.web.cutouts.request import CONTENT, preference, read
from producer.web.cutouts.resource import (
    Cutout,
    cutout_of,
    find,
    once,
    record_key,
    submit,
    waited_for,
)
from producer.web.problems import Problem, RequestError

router = APIRouter(prefix="/v1/cutouts", tags=["cut-outs"])


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": what}
    for status, what in {
        401: "no key of this server",
        403: "the key lacks a scope",
        404: "there is none",
        405: "not by this method",
        408: "the body came too slowly",
        409: "not in this state",
        413: "too large",
        422: "something is wrong with the request",
        429: "too many, see Retry-After",
        503: "Redis or the storage is away, see Retry-After",
    }.items()
}


@router.post(
    "",
    status_code=202,
    responses={200: {"model": Cutout, "description": "it has ended within the wait"}, **PROBLEMS},
    openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
)
async def create(
    request: Request,
    response: Response,
    backend: TheBackend,
    key: Submitter,
    prefer: Annotated[str | None, Header(description="`wait=N`: seconds to wait")] = None,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> Cutout:
    """Cut out one photograph: an upload (field `image`), or JSON that says where it lies.

    What becomes of it is a `rendition`, in a form as JSON text: by default a PNG with alpha.
    Answers 202 at once and goes on by itself; with `Prefer: wait=N`, 200 where it ends in time.
    """
    new, upload = await read(request)
    if idempotency_key is None:
        identity = cutouts.new_cutout_id()
        await run_in_threadpool(submit, backend, identity, new, upload)
    else:
        # hashed: it may be as long as a header, and say anything
        place = hashlib.sha256(idempotency_key.encode()).hexdigest()
        identity = await once(backend, key.name, place, new, upload)
    found = await waited_for(backend, identity, preference(prefer))
    response.headers["Location"] = f"/v1/cutouts/{identity}"
    response.status_code = 200 if found.status in {"done", "failed"} else 202
    return found


@router.get("/{identity}", responses=PROBLEMS)
async def read_one(
    identity: str,
    backend: TheBackend,
    _: Reader,
    prefer: Annotated[str | None, Header(description="`wait=N`: seconds to wait")] = None,
) -> Cutout:
    """Say how far a cut-out is."""
    return await waited_for(backend, identity, preference(prefer))


@router.get(
    "/{identity}/image",
    responses={
        200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "the cut-out"},
        304: {"description": "the cut-out is the one you have"},
        **PROBLEMS,
    },
    response_class=Response,
)
def image(
    identity: str,
    backend: TheBackend,
    _: Reader,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Give out the cut-out."""
    now, outcome = find(backend, identity)
    single = now.spec.cutout
    if outcome is None or outcome.status is Status.FAILED or single is None:
        raise RequestError(ErrorCode.NOT_READY, f"The cut-out is {cutout_of(now, outcome).status}.")
    blob = open_store(now.spec.destination).get(single.destination_key)
    rendition = now.spec.recipe.rendition
    headers = {
        "ETag": f'"{blob.etag}"',
        "Cache-Control": "private, max-age=3600",
        "Content-Disposition": f'attachment; filename="{identity}{rendition.suffix}"',
    }
    if headers["ETag"] in (if_none_match or ""):
        return Response(None, 304, headers)
    return Response(blob.data, 200, headers, rendition.content_type)


@router.delete("/{identity}", status_code=204, responses=PROBLEMS)
def delete(identity: str, backend: TheBackend, _: Submitter) -> None:
    """Forget an image: it is not run any more, and what this server stored of it is deleted."""
    now, _outcome = find(backend, identity)
    single = now.spec.cutout
    backend.ledger.batches.cancel(identity)
    kept = {record_key(identity)}
    if single and now.spec.source == backend.store:
        kept.add(single.photograph.key)
    if single and now.spec.destination == backend.store:
        kept.add(single.destination_key)
    for key in kept:
        backend.open_store().delete(key)
    backend.ledger.batches.forget(identity)
    if single and single.destination_key in kept:
        # written meanwhile by a worker that settled it before it was forgotten; from here on the
        # worker itself finds that nobody knows it
        backend.open_store().delete(single.destination_key)
