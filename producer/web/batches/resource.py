"""What the API sends and receives about batches, beside the batch itself."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from contract import names
from contract.batch import Progress, Selection
from contract.errors import IMAGE_CODES, ErrorCode
from contract.quality import DEFAULT, Quality
from contract.schedule import IMMEDIATELY, Schedule
from producer.batches.resource import Batch
from producer.recipes.fields import RecipeChoice
from producer.web.context import Context
from producer.web.cutouts.request import EXAMPLE_QUALITY
from producer.web.problems import RequestError

Glob = Annotated[str, Field(min_length=1, max_length=1024)]


class NewBatch(RecipeChoice):
    """A batch to create: photographs at `source`, outputs written below `destination`."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(
        min_length=6, max_length=4096, pattern="^s3://", examples=["s3://photographs/in"],
        description="Where the photographs are: `s3://bucket` or `s3://bucket/prefix`, or a single"
        " photograph.",
    )  # fmt: skip
    destination: str = Field(
        min_length=6, max_length=4096, pattern="^s3://", examples=["s3://photographs/out"],
        description="Where the outputs are written: `s3://bucket` or `s3://bucket/prefix`."
        " Folders are kept; file extensions are replaced by `.png`, or as the recipe says. It must"
        " neither be the source nor contain it.",
    )  # fmt: skip
    model: str | None = Field(
        None, max_length=100, examples=["u2net-int8"],
        description="The neural network to use; see `GET /v1/models`. Default: the server's model.",
    )  # fmt: skip
    quality: Quality = Field(
        DEFAULT, description="How carefully mattes are computed.", examples=[EXAMPLE_QUALITY]
    )
    force: bool = Field(
        False,
        description="Process images even if their output is current. By default an image is"
        " skipped if its output was made from the same bytes with the same model and options.",
    )
    schedule: Schedule = Field(IMMEDIATELY, description="When the batch runs. Default: at once.")
    callback_url: str | None = Field(
        None, max_length=4096, examples=["https://shop.example/hooks/batch"],
        description="An https URL that receives the batch as a POST each time it is closed or has"
        " failed; see the webhook `batch-closed`.",
    )  # fmt: skip
    manifest: str = Field(
        "", max_length=4096, pattern="^(s3://.+)?$", examples=["s3://photographs/lists/spring.csv"],
        description="Location of a list of photographs: only these are processed. CSV, JSON lines"
        " or Parquet with a column `key` (also `size`, `etag`, `last_modified`), a plain list of"
        " keys, or the manifest.json of an S3 Inventory; plain, gzip or zstd. Keys are relative to"
        " `source`.",
    )  # fmt: skip
    include: list[Glob] = Field(
        [], max_length=100, examples=[["shoes/*.jpg"]],
        description="Only keys that match one of these globs. `*` also matches `/`.",
    )  # fmt: skip
    exclude: list[Glob] = Field(
        [], max_length=100, description="No keys that match one of these globs."
    )
    since: AwareDatetime | None = Field(
        None, description="Only photographs modified at or after this time."
    )
    limit: int | None = Field(
        None, gt=0, description="Only so many photographs: the first, by their keys."
    )
    sample: int | None = Field(
        None, gt=0, le=1_000_000,
        description="Only so many photographs from all over the source: the same ones each time.",
    )  # fmt: skip
    only_changed: bool = Field(
        False,
        description="Leave out photographs whose output is not older than they are. Quick, as"
        " `destination` is listed once; but an output counts whatever model and options it was made"
        " with.",
    )

    @property
    def selection(self) -> Selection:
        return Selection(
            manifest=self.manifest, include=tuple(self.include), exclude=tuple(self.exclude),
            since=self.since.timestamp() if self.since else None, limit=self.limit,
            sample=self.sample, only_changed=self.only_changed,
        )  # fmt: skip


class BatchList(BaseModel):
    """All batches that the server knows."""

    batches: list[Batch] = Field(description="The batches, newest first.")
    notice: str = Field(
        description="Which batches the list leaves out, as they come from a newer release than this"
        " server, and what to do, in two sentences; else empty."
    )


class Failure(BaseModel):
    """An image that failed for good."""

    line: int = Field(description="The image's number in the batch, from 0.")
    key: str = Field(description="The photograph's key, relative to the batch's source.")
    code: ErrorCode | None = Field(description="A stable code that names the error.")
    message: str = Field(description="What went wrong, in one sentence.")
    next_step: str = Field(description="What to do about it, in one sentence.")


class FailureList(BaseModel):
    """Images of a batch that failed."""

    failures: list[Failure] = Field(description="The failed images, latest first.")


def _code_of_an_image(code: ErrorCode) -> ErrorCode:
    if code not in IMAGE_CODES:
        raise ValueError("no image fails with this code")
    return code


ImageCode = Annotated[
    ErrorCode,
    AfterValidator(_code_of_an_image),
    WithJsonSchema({"type": "string", "enum": sorted(code.value for code in IMAGE_CODES)}),
]


class Retry(BaseModel):
    """Which failed images to process again."""

    model_config = ConfigDict(extra="forbid")

    code: ImageCode | None = Field(
        None,
        description="Only the images that failed with this code. By default all, except those"
        " with `poisoned`, which crashed their process and are retried only if this is `poisoned`."
        " Those with `unsafe_key` or `duplicate_destination` would fail again: they are never"
        " retried, and naming one is answered 409.",
    )


class Retried(BaseModel):
    """The result of a retry."""

    reopened: int = Field(description="Number of images that will be processed again.")


def find(context: Context, batch_id: str) -> Progress:
    """Return a batch's progress. Raises RequestError (`batch_unknown`), also for a cutout."""
    if names.is_batch_id(batch_id):
        progress = context.ledger.batches.progress(batch_id)
        if progress.spec.cutout is None:
            return progress
    raise RequestError(ErrorCode.BATCH_UNKNOWN, f"Batch {batch_id!r} was not found.")
