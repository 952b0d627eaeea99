"""`/v1/batches`: whole catalogues."""

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response

from contract import names
from contract.errors import NEXT_STEP
from contract.safe_http.policy import check_url
from contract.schedule import Schedule
from producer.batches import control
from producer.batches.left_out import LeftOut
from producer.batches.missing_dispatcher import with_missing_dispatcher
from producer.batches.register import begin, new_spec
from producer.batches.report.rows import failures
from producer.batches.resource import Batch, batch_resource
from producer.web.auth import Admin, Reader
from producer.web.batches.resource import (
    BatchList,
    Failure,
    FailureList,
    NewBatch,
    Retried,
    Retry,
    find,
)
from producer.web.context import Context, RequestContext
from producer.web.problems import RESPONSES

router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=RESPONSES)

MAX_FAILURES = 500
"""Failures in one response."""

BatchId = Annotated[str, Path(description="The batch's ID, as returned by `POST /v1/batches`.")]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=200, examples=["catalogue-2025-spring"],
        description="A text that identifies this request. If it is sent again with the same key"
        " and the same content within 30 days, no second batch is created: the response shows the"
        " first one, unless its source could not be listed. The same key with"
        " other content is refused (`idempotency_conflict`). Another `schedule` or `callback_url`"
        " alone is ignored: those of the first request apply.",
    ),
]  # fmt: skip


@router.post(
    "", status_code=202, summary="Create a batch",
    response_description="The batch was created; its source is being listed.",
)  # fmt: skip
def create_batch(
    new: NewBatch,
    context: RequestContext,
    key: Admin,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Batch:
    """List the photographs at `source` and process them.

    Answers at once. The batch is in state `registering` until its list is complete and stored,
    which takes a while for a large catalogue; then it is `open`. If the source cannot be listed it
    is `failed`, and `stalled_reason` says why. The header `Location` is the batch's path. Requires
    a key with the scope `admin`.
    """
    context.ledger.ping()
    for location in filter(None, (new.source, new.destination, new.manifest)):
        names.check_object_key(location.removeprefix("s3://").strip("/"))
    recipe = context.recipe(new)
    if new.callback_url is not None:
        check_url(new.callback_url, context.settings.url_allowlist)
    spec = new_spec(
        new.source, new.destination, recipe, force=new.force, schedule=new.schedule,
        selection=new.selection, background=True,
    )  # fmt: skip
    name = f"api:{key.name}:{idempotency_key}" if idempotency_key else ""
    spec = begin(context.ledger, spec, name, new.callback_url)
    context.ledger.sync()
    response.headers["Location"] = f"/v1/batches/{spec.id}"
    return batch_resource(context.ledger.batches.progress(spec.id))


@router.get("", summary="List all batches", response_description="The batches.")
def list_batches(context: RequestContext, _: Reader) -> BatchList:
    """List the batches, newest first.

    A batch is listed until 30 days after it was closed. Requires a key with the scope `read`.
    """
    batches, left_out = context.ledger.batches, LeftOut()
    found = batches.progress_of(batches.ids(), left_out)
    rows = with_missing_dispatcher(context.ledger, found)
    return BatchList(batches=list(map(batch_resource, rows)), notice=left_out.notice)


def _present(context: Context, batch_id: str) -> Batch:
    [row] = with_missing_dispatcher(context.ledger, [find(context, batch_id)])
    return batch_resource(row)


@router.get("/{batch_id}", summary="Read a batch", response_description="The batch.")
def read_batch(batch_id: BatchId, context: RequestContext, _: Reader) -> Batch:
    """Read a batch's state and progress. Requires a key with the scope `read`."""
    return _present(context, batch_id)


@router.post("/{batch_id}/pause", summary="Pause a batch", response_description="The batch.")
def pause_batch(batch_id: BatchId, context: RequestContext, _: Admin) -> Batch:
    """Start no further images. Images that are being processed are finished.

    A batch also pauses itself while nearly all its images fail for want of storage, network or
    credentials, and continues by itself if that may pass. After this request, only `resume`
    continues it. Answers 409 unless the batch is open or
    paused. Requires a key with the scope `admin`.
    """
    control.pause(context.ledger, find(context, batch_id).spec.id)
    return _present(context, batch_id)


@router.post("/{batch_id}/resume", summary="Resume a batch", response_description="The batch.")
def resume_batch(batch_id: BatchId, context: RequestContext, _: Admin) -> Batch:
    """Continue a paused batch.

    Answers 409 unless the batch is paused. Requires a key with the scope `admin`.
    """
    control.resume(context.ledger, find(context, batch_id).spec.id)
    return _present(context, batch_id)


@router.post("/{batch_id}/cancel", summary="Cancel a batch", response_description="The batch.")
def cancel_batch(batch_id: BatchId, context: RequestContext, _: Admin) -> Batch:
    """End a batch early: images being processed are finished, all others fail as `cancelled`.

    `retry` would process those again. Outputs that are already written are kept. A batch whose
    source is being listed ends in the state `failed`. Answers 409 unless the batch is registering,
    open or paused. Requires a key with the scope `admin`.
    """
    control.cancel(context.ledger, find(context, batch_id).spec.id)
    return _present(context, batch_id)


@router.patch(
    "/{batch_id}/schedule", summary="Reschedule a batch", response_description="The batch."
)
def reschedule_batch(
    batch_id: BatchId, changes: Schedule, context: RequestContext, _: Admin
) -> Batch:
    """Change when the batch runs. Fields that are left out stay as they are.

    null clears `cap`, `not_before` or `deadline`.

    Answers 409 unless the batch is open or paused. Requires a key with the scope `admin`.
    """
    fields = changes.model_dump(exclude_unset=True)
    control.reschedule(context.ledger, find(context, batch_id).spec.id, fields)
    return _present(context, batch_id)


@router.post(
    "/{batch_id}/retry", summary="Retry failed images",
    response_description="How many images will be processed again.",
)  # fmt: skip
def retry_batch(
    batch_id: BatchId, context: RequestContext, _: Admin, selection: Retry | None = None
) -> Retried:
    """Process failed images again, also cancelled ones: all of them, or those with one code.

    A closed batch is opened again. Answers 409 while the batch is being cancelled. Requires a key
    with the scope `admin`.
    """
    code = selection.code if selection else None
    return Retried(reopened=control.retry(context.ledger, find(context, batch_id).spec.id, code))


@router.get(
    "/{batch_id}/failures", summary="List failed images", response_description="The failed images."
)
def list_failures(
    batch_id: BatchId,
    context: RequestContext,
    _: Reader,
    limit: Annotated[
        int, Query(ge=1, le=MAX_FAILURES, description="Maximum number of images to list.")
    ] = 50,
) -> FailureList:
    """List images that failed, latest first. The report of a closed batch lists all of them.

    Requires a key with the scope `read`.
    """
    outcomes = failures(context.ledger, find(context, batch_id).spec)
    return FailureList(
        failures=[
            Failure(
                line=outcome.line, key=outcome.key, code=outcome.code, message=outcome.message,
                next_step=NEXT_STEP[outcome.code] if outcome.code else "",
            )
            for outcome in islice(outcomes, limit)
        ]
    )  # fmt: skip
