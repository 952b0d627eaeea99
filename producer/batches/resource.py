"""A batch as the API and its callback show it."""

from pydantic import BaseModel, Field

from contract.batch import Progress, State
from contract.schedule import Schedule
from producer.batches.report.summary import batch_json


class Batch(BaseModel):
    """A batch and its progress. Once it is closed, `done + skipped + failed = total`."""

    id: str = Field(description="The batch's ID.", examples=["b-20250131-093000-1a2b3c"])
    state: State = Field(
        description="`registering`: the source is being listed; `total` counts the images so far."
        " `failed`: it could not be registered; see `stalled_reason`. `open`: images are being"
        " processed."
        " `paused`: no further image is started; see `stalled_reason`. `cancelling`: the remaining"
        " images are being settled as failed. `closed`: every image is settled and the report is"
        " written."
    )
    source: str = Field(description="Location of the photographs.")
    destination: str = Field(description="Location of the outputs.")
    model: str = Field(description="The neural network that the batch uses.")
    pipeline: int = Field(
        description="Version of the image code that the batch uses. Its images wait for workers of"
        " a release with this version."
    )
    total: int = Field(description="Number of images in the batch.")
    done: int = Field(description="Number of images whose output was written.")
    skipped: int = Field(description="Number of images whose output was already current.")
    failed: int = Field(
        description="Number of images that failed for good; see `GET"
        " /v1/batches/{batch_id}/failures`."
    )
    ignored: int = Field(
        description="Number of listed objects whose file extension is not that of an image, and of"
        " images in a folder `_cutout` or `_review`. They are not part of `total`."
    )
    excluded: int = Field(
        description="Number of listed images that the request left out, by `exclude` or another"
        " field of its selection. They are not part of `total`."
    )
    linked_folders: list[str] = Field(
        description="The first 10 links to folders below the source. They are not followed, and"
        " count as `ignored`."
    )
    unreadable: int = Field(
        description="Number of rows of the manifest that cannot be read. They are not part of"
        " `total`; submit them again, corrected."
    )
    unreadable_rows: list[str] = Field(
        description="The first 10 of them, each with the reason, such as `line 7: not JSON`."
    )
    issued: int = Field(
        description="Number of images that are queued, being processed or waiting for a retry."
    )
    duplicates: int = Field(
        description="Number of queue messages for images that were already settled or being"
        " processed. Harmless: such a message is dropped."
    )
    stalled_reason: str = Field(
        description="Why the batch makes no progress, in a sentence, if known; else empty."
    )
    schedule: Schedule = Field(
        description="When the batch runs; see `PATCH /v1/batches/{batch_id}/schedule`."
    )
    eta: float | None = Field(
        description="When the batch will end at its present speed, in Unix seconds; null if that is"
        " unknown, or the batch is not open or makes no progress."
    )
    late: bool = Field(description="Whether the batch ended after its deadline, or is expected to.")
    created: float = Field(description="When the batch was created, in Unix seconds.")
    closed: float | None = Field(
        description="When the batch was closed, in Unix seconds; null if it is not closed."
    )


def batch_resource(progress: Progress) -> Batch:
    """Return the API's view of a batch."""
    fields = batch_json(progress)
    return Batch.model_validate({**fields, "id": fields["batch"]})
