"""`/v1/batches`: whole catalogues."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from contract import names
from contract.batch import Progress
from contract.errors import NEXT_STEP, ErrorCode
from contract.storage import open_store
from contract.storage.batch_files import manifest_lines
from producer.batches import control, reports
from producer.batches.register import register
from producer.web.context import Admin, Backend, Reader, TheBackend
from producer.web.cutouts.routes import PROBLEMS
from producer.web.problems import RequestError

router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=PROBLEMS)

MOST_FAILURES = 500


class NewBatch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str = Field(
        min_length=6, max_length=4096, pattern="^s3://", examples=["s3://photographs/in"]
    )
    destination: str = Field(
        min_length=6, max_length=4096, pattern="^s3://", examples=["s3://photographs/out"]
    )
    model: str | None = Field(None, max_length=100)
    force: bool = False


class Batch(BaseModel):
    """A batch and how far it is."""

    batch: str = Field(serialization_alias="id")
    state: str
    source: str
    destination: str
    model: str
    total: int
    done: int
    skipped: int
    failed: int
    ignored: int
    issued: int
    duplicates: int
    stalled_reason: str
    created: float
    closed: float | None


class Batches(BaseModel):
    batches: list[Batch]


class Failure(BaseModel):
    line: int
    key: str
    code: ErrorCode | None
    message: str
    next_step: str


class Failures(BaseModel):
    failures: list[Failure]


class Retry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    code: ErrorCode | None = None


class Opened(BaseModel):
    opened: int


def batch_of(now: Progress) -> Batch:
    return Batch.model_validate(reports.as_json(now))


def find(backend: Backend, batch: str) -> Progress:
    if names.is_batch_id(batch):
        now = backend.ledger.batches.progress(batch)
        if now.spec.cutout is None:
            return now
    raise RequestError(ErrorCode.BATCH_UNKNOWN, f"There is no batch {batch!r}.")


@router.post("", status_code=201)
def create(new: NewBatch, backend: TheBackend, _: Admin, response: Response) -> Batch:
    """List the source and start. Answers once the listing is complete and safe."""
    backend.ledger.ping()
    for place in (new.source, new.destination):
        names.check_key(place.removeprefix("s3://").strip("/"))
    recipe = backend.recipe(new.model)
    spec = register(backend.ledger, new.source, new.destination, recipe, force=new.force)
    response.headers["Location"] = f"/v1/batches/{spec.id}"
    return batch_of(backend.ledger.batches.progress(spec.id))


@router.get("")
def read_all(backend: TheBackend, _: Reader) -> Batches:
    """List the batches that are known, newest first."""
    ledger = backend.ledger
    return Batches(
        batches=[batch_of(ledger.batches.progress(batch)) for batch in ledger.batches.ids()]
    )


@router.get("/{batch}")
def read_one(batch: str, backend: TheBackend, _: Reader) -> Batch:
    return batch_of(find(backend, batch))


@router.post("/{batch}/pause")
def pause(batch: str, backend: TheBackend, _: Admin) -> Batch:
    """Stop handing it out. Images in hand are finished."""
    control.pause(backend.ledger, find(backend, batch).spec.id)
    return batch_of(find(backend, batch))


@router.post("/{batch}/resume")
def resume(batch: str, backend: TheBackend, _: Admin) -> Batch:
    control.resume(backend.ledger, find(backend, batch).spec.id)
    return batch_of(find(backend, batch))


@router.post("/{batch}/cancel")
def cancel(batch: str, backend: TheBackend, _: Admin) -> Batch:
    """End it: what has not been cut out yet fails by the code `cancelled`."""
    control.cancel(backend.ledger, find(backend, batch).spec.id)
    return batch_of(find(backend, batch))


@router.post("/{batch}/retry")
def retry(batch: str, backend: TheBackend, _: Admin, wanted: Retry | None = None) -> Opened:
    """Open failed images again, all or those of one code."""
    code = wanted.code if wanted else None
    return Opened(opened=control.retry(backend.ledger, find(backend, batch).spec.id, code))


@router.get("/{batch}/failures")
def failures(
    batch: str,
    backend: TheBackend,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=MOST_FAILURES)] = 50,
) -> Failures:
    """List failed images, the latest first."""
    rows = reports.failures(backend.ledger, find(backend, batch).spec)
    found: list[Failure] = []
    for row in rows:
        step = NEXT_STEP[row.code] if row.code else ""
        found.append(
            Failure(line=row.line, key=row.key, code=row.code, message=row.message, next_step=step)
        )
        if len(found) == limit:
            break
    return Failures(failures=found)


IMAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "the photograph"}
}


@router.get("/{batch}/photographs/{line}", responses=IMAGE, response_class=Response)
def photograph(batch: str, line: int, backend: TheBackend, _: Reader) -> Response:
    """Give out a photograph as it lies in the source."""
    spec = find(backend, batch).spec
    if not 0 <= line < spec.total:
        raise RequestError(ErrorCode.NOT_FOUND, f"The batch has no line {line}.")
    segment, offset = divmod(line, spec.segment_lines)
    key = manifest_lines(spec, segment)[offset].key
    if not names.is_image(key):
        raise RequestError(ErrorCode.NOT_FOUND, "The line is no photograph.")
    blob = open_store(spec.source).get(key, backend.config.max_bytes)
    # never as a page of ours: what a source holds is hostile
    headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
    return Response(blob.data, 200, headers, "application/octet-stream")


REPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/csv": {}, "application/x-ndjson": {}},
        "description": "a row an image",
    }
}


@router.get("/{batch}/report", responses=REPORT, response_class=Response)
def report(
    batch: str,
    backend: TheBackend,
    _: Reader,
    format: Literal["csv", "jsonl"] = "csv",  # noqa: A002 - the name in the address
) -> Response:
    """Give out a closed batch's report."""
    now = find(backend, batch)
    if now.state != "closed":
        raise RequestError(ErrorCode.NOT_READY, f"The batch is {now.state}.")
    rows = open_store(now.spec.destination).stream(names.report_key(batch, format))
    kind = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}[format]
    headers = {"Content-Disposition": f'attachment; filename="{batch}.{format}"'}
    return StreamingResponse(rows, 200, headers, kind)
