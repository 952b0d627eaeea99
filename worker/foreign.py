"""Messages of another release: put off, so that a worker that can read them gets them.

Each release has its own queues (see `names.bulk_queue`), unless two differ only in the message's
format, or someone publishes to the wrong queue. Dropping such a message would leave its line issued
until it is overdue, and then again; returning it to the queue would be an endless loop.
"""

import secrets

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ErrorCode, RetryableError
from contract.job import ImageJob
from contract.ledger import ClaimRefused
from contract.names import BATCH_ID
from contract.outcome import Outcome, Status
from contract.recipe import PIPELINE
from worker.failure import DeferredError
from worker.retry import deadline_in, retry_delay, retry_until
from worker.runtime import Runtime


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


def put_off(job: ForeignJob, runtime: Runtime) -> Outcome | ClaimRefused:
    """Defer a line like after any temporary error, or settle it as failed if no retry is left.

    Raises DeferredError if it is deferred, RetryableError (`redis_unavailable`) if the ledger
    cannot be reached.
    """
    config, lines = runtime.config, runtime.ledger.lines
    deadline = deadline_in(config.time_limit)
    token, lease = runtime.token_prefix + secrets.token_hex(4), config.visibility_timeout
    claim = retry_until(
        deadline,
        lambda: lines.claim(job.batch, job.line, token, lease, quarantine=runtime.quarantine),
    )
    if isinstance(claim, ClaimRefused):
        return claim
    error = RetryableError(
        ErrorCode.RELEASE_MISMATCH,
        f"A worker with {config.model} and pipeline {PIPELINE} received a message of another"
        " release.",
    )
    delay = retry_delay(claim.attempt - 1, config)
    if delay is not None:
        retry_until(
            deadline,
            lambda: lines.defer(job.batch, job.line, token, delay, error.code, runtime.worker),
        )
        raise DeferredError(str(error))
    outcome = Outcome(
        line=job.line, key=job.photograph.key, status=Status.FAILED, code=ErrorCode.EXHAUSTED,
        message=f"{claim.attempt} attempts failed with {error.code}: {error.message}",
        attempts=claim.attempt, worker=runtime.worker,
    )  # fmt: skip
    settled = retry_until(deadline, lambda: lines.finish(job.batch, outcome, error.code))
    return outcome if settled else ClaimRefused("settled")
