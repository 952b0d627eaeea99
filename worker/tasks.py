"""The Celery task: takes a message, calls `process`, and ends in a state that Flower understands.

Succeeded: done or skipped. Failed: failed, with its code. Retry: deferred, Redis is away, or there
is nothing to do now. Rejected: the message is invalid. Revoked: the image was settled before.
"""

from contextlib import suppress
from typing import Any

import structlog
from celery import Task, shared_task
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from pydantic import ValidationError
from setproctitle import setproctitle

from contract import names, traces
from contract.counters import counters
from contract.errors import CutoutError
from contract.job import ImageJob
from contract.ledger import ClaimRefused
from contract.metrics import WORKER_REFUSED
from contract.outcome import Outcome, Status
from worker.failure import DeferredError
from worker.foreign import ForeignJob, is_foreign
from worker.process import process
from worker.runtime import plan, runtime
from worker.usage import count_deferred, count_outcome

log = structlog.get_logger(__name__)

BOUND_FIELDS = {"worker", "line", "key", "outputs"}
"""Fields of an outcome that its log line has already, or can do without."""


class ImageFailedError(Exception):
    """Raised after a failure is settled in the ledger, so that Flower shows it."""


class CutTask(Task[Any, Any]):
    Request = "worker.celery_hooks.request:CutoutRequest"  # Celery imports the class by this name


@shared_task(name=names.CUT_TASK, bind=True, base=CutTask, throws=(ImageFailedError,))
def cut(self: Task[Any, Any], job: dict[str, Any]) -> None:
    model = runtime().config.model
    parsed = _parse(job, model, self.request.id)
    key = names.printable(parsed.photograph.key)
    setproctitle(f"cutout worker {model}: {key} ({parsed.batch})")
    try:
        with structlog.contextvars.bound_contextvars(batch=parsed.batch, line=parsed.line, key=key):
            outcome = _process(parsed, self.request.get("traceparent"))
            log.info(
                "image settled",
                **outcome.model_dump(mode="json", exclude_defaults=True, exclude=BOUND_FIELDS),
            )
            if outcome.status is Status.FAILED:
                raise ImageFailedError(f"{outcome.code}: {outcome.message}")
    finally:
        structlog.contextvars.unbind_contextvars("attempt")  # see `note_attempt`
        plan().meters.publish()
        setproctitle(f"cutout worker {model} idle")


def _parse(job: dict[str, Any], model: str, task_id: str | None) -> ImageJob | ForeignJob:
    """Return the job, or what can be read of it if it is another release's.

    Raises Reject for a message that no release sends: it is dropped and counted. If it was for a
    line all the same, the line becomes overdue and is published again.
    """
    try:
        parsed = ImageJob.model_validate(job)
    except ValidationError as error:
        with suppress(ValidationError):
            return ForeignJob.model_validate(job)
        log.error("message refused", task=task_id, problems=error.error_count())  # noqa: TRY400 - the input is hostile, its traceback noise
        raise Reject("not a cutout job", requeue=False) from None
    return ForeignJob.model_validate(parsed.model_dump()) if is_foreign(parsed, model) else parsed


def _process(job: ImageJob | ForeignJob, traceparent: object) -> Outcome:
    try:
        outcome = _traced(job, traceparent)
    except DeferredError as error:
        count_deferred(runtime().config.model, error.code)
        log.warning("image deferred", reason=str(error))
        raise Retry(str(error)) from None
    except (CutoutError, SoftTimeLimitExceeded) as error:
        # the ledger cannot be reached; the line is retried when its lease ends
        log.error("image given up", reason=str(error) or type(error).__name__)  # noqa: TRY400 - the message says all
        raise Retry(str(error)) from None
    except MemoryError:
        # Celery's main process would exit on it; the line is retried when its lease ends
        raise Ignore from None
    if isinstance(outcome, ClaimRefused):
        counters.add(WORKER_REFUSED, outcome.reason)
        log.info("nothing to do", reason=outcome.reason)
        raise Ignore(outcome.reason)  # acknowledged; see `CutoutRequest.on_failure`
    count_outcome(runtime().config.model, outcome)
    return outcome


def _traced(job: ImageJob | ForeignJob, traceparent: object) -> Outcome | ClaimRefused:
    """Process an image within a span that says how the attempt ended.

    `traceparent`: the header of the message, if it has one. Raises as `process`.
    """
    attributes = traces.line_attributes(job.batch, job.line, job.photograph.key)
    parent = traceparent if isinstance(traceparent, str) else ""
    worker = {"cutout.worker": runtime().worker, "cutout.model": runtime().config.model}
    with traces.span("process", "consumer", parent, {**attributes, **worker}) as span:
        outcome = process(job, runtime())
        if isinstance(outcome, ClaimRefused):
            span.set({"cutout.refused": outcome.reason})
            return outcome
        span.set({"cutout.status": outcome.status.value})
        if outcome.code:
            span.fail(outcome.code)
        return outcome
