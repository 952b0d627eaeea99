"""Messages of another release: deferred, so that a worker that can read them gets them.

Each release has its own queues (see `names.bulk_queue`), unless two differ only in the message's
format, or someone publishes to the wrong queue. Dropping such a message would leave its line issued
until it is overdue, and then again; returning it to the queue would be an endless loop.
"""

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ErrorCode, RetryableError
from contract.job import ImageJob
from contract.names import BATCH_ID
from contract.recipe import PIPELINE


class ForeignPhotograph(BaseModel):
    """What every release calls a photograph."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str = Field(min_length=1, max_length=4096)


class ForeignJob(BaseModel):
    """The fields of a message that say which line it is for. All others are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    batch: str = Field(pattern=f"^{BATCH_ID.pattern}$")
    line: int = Field(ge=0)
    photograph: ForeignPhotograph


def is_foreign(job: ImageJob, model: str) -> bool:
    """Return whether a job needs another model or pipeline than this worker has."""
    return (job.recipe.model, job.recipe.pipeline) != (model, PIPELINE)


def release_mismatch(model: str) -> RetryableError:
    """Return the error of an attempt at a foreign job by a worker that has `model`."""
    return RetryableError(
        ErrorCode.RELEASE_MISMATCH,
        f"A worker with {model} and pipeline {PIPELINE} received a message of another release.",
    )
