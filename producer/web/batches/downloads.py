"""What can be downloaded of a batch: its photographs and its report."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from contract import names
from contract.errors import ErrorCode
from contract.storage import open_store
from contract.storage.batch_files import manifest_line
from contract.storage.json_lines import decompressed
from producer.web.auth import Reader
from producer.web.batches.resource import find
from producer.web.batches.routes import BatchId
from producer.web.context import RequestContext
from producer.web.problems import RESPONSES, RequestError

router = APIRouter(prefix="/v1/batches", tags=["batches"], responses=RESPONSES)

UNTRUSTED_HEADERS = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
"""Keep a browser from running a photograph as a page of this server: sources are untrusted."""
REPORT_FILES = {
    "csv": ("csv", "text/csv; charset=utf-8"),
    "jsonl": ("jsonl.gz", "application/x-ndjson"),
}
"""format -> (suffix of its file, content type). The JSONL file is decompressed on its way."""
PHOTOGRAPH_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": {}},
        "description": "The photograph's bytes, unchanged.",
    }
}
REPORT_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/csv": {}, "application/x-ndjson": {}},
        "description": "The report, with one row per image.",
    }
}


@router.get(
    "/{batch_id}/photographs/{line}", summary="Download a photograph",
    responses=PHOTOGRAPH_RESPONSE, response_class=Response,
)  # fmt: skip
def read_photograph(
    batch_id: BatchId,
    line: Annotated[int, Path(description="The image's number in the batch, from 0.")],
    context: RequestContext,
    _: Reader,
) -> Response:
    """Download a photograph from the batch's source, to look at one that failed.

    Requires a key with the scope `read`.
    """
    progress = find(context, batch_id)
    spec = progress.spec
    if progress.state == "registering":
        raise RequestError(ErrorCode.NOT_READY, "The source of the batch is being listed.")
    if not 0 <= line < spec.total:
        raise RequestError(ErrorCode.NOT_FOUND, f"The batch has no line {line}.")
    key = manifest_line(spec, line).key
    if not names.is_image(key):
        raise RequestError(ErrorCode.NOT_FOUND, f"Line {line} is not a photograph.")
    blob = open_store(spec.source).get(key, context.settings.max_bytes)
    return Response(blob.data, 200, UNTRUSTED_HEADERS, "application/octet-stream")


@router.get(
    "/{batch_id}/report", summary="Download the report",
    responses=REPORT_RESPONSE, response_class=Response,
)  # fmt: skip
def read_report(
    batch_id: BatchId,
    context: RequestContext,
    _: Reader,
    format: Annotated[  # noqa: A002 - the name of the query parameter
        Literal["csv", "jsonl"],
        Query(description="`csv`: a table with a header row. `jsonl`: one JSON object per line."),
    ] = "csv",
) -> Response:
    """Download the report of a closed batch: one row per image with its outcome and durations.

    Answers 409 (`not_ready`) until the batch is closed. Requires a key with the scope `read`.
    """
    progress = find(context, batch_id)
    if progress.state != "closed":
        raise RequestError(ErrorCode.NOT_READY, f"The batch is {progress.state}.")
    suffix, content_type = REPORT_FILES[format]
    body = open_store(progress.spec.destination).stream(names.report_key(batch_id, suffix))
    headers = {"Content-Disposition": f'attachment; filename="{batch_id}.{format}"'}
    plain = decompressed(body) if suffix.endswith(".gz") else body
    return StreamingResponse(plain, 200, headers, content_type)
