"""A cutout as the API shows it."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field

from contract import names
from contract.batch import BatchSpec, Progress
from contract.errors import NEXT_STEP, CutoutError, ErrorCode
from contract.outcome import Outcome, Output, Status
from producer.web.context import Context
from producer.web.cutouts.restore import restore
from producer.web.problems import RequestError


class CutoutOutput(BaseModel):
    """An output of a cutout."""

    name: str = Field(description="The name of its rendition; empty if it has none.")
    output: str = Field(description="Location of the output in storage.")
    image: str = Field(description="Path at which this server returns the output.")
    width: int | None = Field(description="Width in pixels, if known.")
    height: int | None = Field(description="Height in pixels, if known.")
    bytes: int | None = Field(description="Size of the file, if known.")
    preset: str = Field(
        "", description="The preset that the file was found to fulfil; empty if none was checked."
    )


class Cutout(BaseModel):
    """One image that a client submitted, and its progress."""

    id: str = Field(description="The cutout's ID.", examples=["c-20250131-093000-1a2b3c4d5e6f"])
    status: Literal["queued", "working", "done", "failed"] = Field(
        description="`queued`: waits for a worker. `working`: a worker processes it. `done`: the"
        " output is ready. `failed`: it failed for good; see `code`."
    )
    created: datetime = Field(description="When the cutout was created (UTC).")
    model: str = Field(description="The neural network that is used.", examples=["u2netp-int8"])
    code: ErrorCode | None = Field(
        None, description="If failed, a stable code that names the error; else null."
    )
    message: str = Field(
        "",
        description="What went wrong, in one sentence, if the cutout failed, or if it is queued for"
        " more than 5 s because no worker for its model is running. Else empty.",
    )
    next_step: str = Field("", description="What to do about `message`; else empty.")
    attempts: int = Field(
        0,
        description="Number of times a worker started on the image; 0 until the cutout has ended.",
    )
    width: int | None = Field(None, description="Width of the output in pixels.")
    height: int | None = Field(None, description="Height of the output in pixels.")
    foreground: float | None = Field(
        None,
        description="Share of the photograph that was kept: its mean opacity, from 0 (nothing) to"
        " 1 (everything), accurate to about 0.001.",
    )
    doubts: list[ErrorCode] = Field(
        default_factory=list,
        description="Why the output may be wrong: `no_subject`, `ambiguous_subject` or"
        " `subject_cut_by_frame`. Doubts for which the recipe's `policy` fails the cutout are not"
        " listed: one of them is its code.",
    )
    milliseconds: dict[str, int] = Field(
        default_factory=dict,
        description="Duration of each processing stage in milliseconds, by the stage's name.",
    )
    output: str | None = Field(
        None, description="Location of the output in storage, once the cutout is done."
    )
    image: str | None = Field(
        None,
        description="Path at which this server returns the output, once the cutout is done.",
        examples=["/v1/cutouts/c-20250131-093000-1a2b3c4d5e6f/image"],
    )
    outputs: list[CutoutOutput] = Field(
        [],
        description="All outputs, in the order of the recipe's renditions. `output`, `image`,"
        " `width` and `height` are those of the first. Of a failed cutout with several renditions,"
        " those that could be made.",
    )

    @property
    def ended(self) -> bool:
        return self.status in {"done", "failed"}


def cutout_resource(progress: Progress, outcome: Outcome | None) -> Cutout:
    """Return the API's view of a cutout. `outcome`: None while it has not ended."""
    spec = progress.spec
    cutout = Cutout(
        id=spec.id, status="working" if progress.claimed else "queued", model=spec.recipe.model,
        created=datetime.fromtimestamp(spec.created, UTC),
    )  # fmt: skip
    if outcome is None:
        return cutout
    failed = outcome.status is Status.FAILED
    outputs = [_output(spec, output) for output in outcome.outputs]
    first = None if failed or not outputs else outputs[0]
    return cutout.model_copy(
        update={
            "status": "failed" if failed else "done",
            "next_step": _next_step(outcome),
            "output": first and first.output,
            "image": first and f"/v1/cutouts/{spec.id}/image",
            "outputs": outputs,
            "width": first and first.width,
            "height": first and first.height,
            **outcome.model_dump(
                include={"code", "message", "attempts", "foreground", "doubts", "milliseconds"}
            ),
        }
    )  # fmt: skip


def _output(spec: BatchSpec, output: Output) -> CutoutOutput:
    path = f"/v1/cutouts/{spec.id}/image"
    is_named = output.name and len(spec.recipe.outputs) > 1
    return CutoutOutput(
        name=output.name, output=f"{spec.destination}/{output.key}", width=output.width,
        image=f"{path}?rendition={output.name}" if is_named else path,
        height=output.height, bytes=output.bytes or None, preset=output.preset,
    )  # fmt: skip


def _next_step(outcome: Outcome) -> str:
    if outcome.code in {ErrorCode.EXHAUSTED, ErrorCode.CANCELLED}:
        return "Fix the cause, then submit the photograph again."  # no batch to `cutout retry`
    return NEXT_STEP[outcome.code] if outcome.code else ""


def find(context: Context, cutout_id: str) -> tuple[Progress, Outcome | None]:
    """Return a cutout's progress, and its outcome once it has ended. Restores one that was lost.

    Raises RequestError (`not_found`), also for a batch.
    """
    not_found = RequestError(ErrorCode.NOT_FOUND, f"Cutout {cutout_id!r} was not found.")
    if not names.is_batch_id(cutout_id):
        raise not_found
    progress = _progress(context, cutout_id)
    if progress is None and names.is_cutout_id(cutout_id):
        restore(context, cutout_id)
        progress = _progress(context, cutout_id)
    if progress is None or progress.spec.cutout is None:
        raise not_found
    settled = progress.settled
    return progress, context.ledger.cutouts.outcome(cutout_id) if settled else None


def _progress(context: Context, batch: str) -> Progress | None:
    try:
        return context.ledger.batches.progress(batch)
    except CutoutError as error:
        if error.code is not ErrorCode.BATCH_UNKNOWN:
            raise
        return None
