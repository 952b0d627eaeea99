"""The task: a message in, an ending Celery and Flower understand out."""

from typing import Any

import structlog
from celery import Task, shared_task
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded
from pydantic import ValidationError
from setproctitle import setproctitle

from contract import names
from contract.errors import CutoutError
from contract.job import ImageJob
from contract.ledger import ClaimRefused
from contract.outcome import Status
from contract.recipe import PIPELINE
from worker.process import DeferredError, process
from worker.runtime import runtime

log = structlog.get_logger(__name__)


LOGGED_ALREADY = {"line", "key", "outputs"}


class ImageFailedError(Exception):
    """Raised once a failure is in the ledger, so that Flower counts it as one, by its code."""


class CutTask(Task[Any, Any]):
    Request = "worker.celery_hooks.request:CutoutRequest"  # Celery's own hook, asked for by name


@shared_task(name=names.CUT_TASK, bind=True, base=CutTask, throws=(ImageFailedError,))
def cut(self: Task[Any, Any], job: dict[str, Any]) -> None:
    model = runtime().config.model
    try:
        parsed = ImageJob.model_validate(job)
    except ValidationError as error:
        log.error("message refused", task=self.request.id, problems=error.error_count())  # noqa: TRY400 - the input is hostile, its traceback noise
        raise Reject("not a cutout job", requeue=False) from None
    recipe = parsed.recipe
    if (recipe.model, recipe.pipeline) != (model, PIPELINE):  # another release: it falls due again
        log.error("recipe not ours", task=self.request.id, **recipe.model_dump())
        raise Reject("this worker follows another recipe", requeue=False)
    key = names.printable(parsed.photograph.key)
    setproctitle(f"cutout worker {model}: {key} ({parsed.batch})")
    try:
        with structlog.contextvars.bound_contextvars(batch=parsed.batch, line=parsed.line, key=key):
            try:
                outcome = process(parsed, runtime())
            except DeferredError as error:
                log.warning("image deferred", why=str(error))
                raise Retry(str(error)) from None
            except (CutoutError, SoftTimeLimitExceeded) as error:
                # the ledger could not be told; the line falls due
                log.error("image given up", why=str(error) or type(error).__name__)  # noqa: TRY400 - one sentence says it
                raise Retry(str(error)) from None
            except MemoryError:
                # a MemoryError that leaves a task ends Celery's main process; the line falls due
                raise Ignore from None
            if isinstance(outcome, ClaimRefused):
                log.info("nothing to do", why=outcome.reason)
                raise Ignore  # such a delivery is acknowledged and counted nowhere
            log.info(
                "image settled",
                **outcome.model_dump(mode="json", exclude_defaults=True, exclude=LOGGED_ALREADY),
            )
            if outcome.status is Status.FAILED:
                raise ImageFailedError(f"{outcome.code}: {outcome.message}")
    finally:
        setproctitle(f"cutout worker {model} idle")
