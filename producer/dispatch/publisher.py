"""Puts jobs into the broker. The producer's only Celery import."""

from collections.abc import Iterable
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError

from contract import names
from contract.errors import ErrorCode, RetryableError
from contract.job import CutoutJob, ManifestLine
from contract.ledger.batches import BatchSpec
from contract.settings import settings, transport_options

GRACE_SECONDS = 2
"""From a worker's taking a message to its claim of the line: in neither place, and not lost."""


@cache
def app() -> Celery:
    """Return the sending side's app. Tasks are sent by name: no worker code is imported."""
    config = settings()
    celery = Celery("cutout", broker=config.broker_url)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        broker_transport_options=transport_options(config),
        broker_connection_retry_on_startup=True,
        # a publish that fails is not repeated here: the line falls due and is issued again
        task_publish_retry=False,
    )
    return celery


def job_of(spec: BatchSpec, line: int, photograph: ManifestLine) -> CutoutJob:
    """Return the message for a line of a batch."""
    single = spec.single
    return CutoutJob(
        batch=spec.id,
        line=line,
        source=spec.source,
        destination=spec.destination,
        photograph=photograph,
        recipe=spec.recipe,
        force=spec.force,
        output=single.output if single else "",
        remote=single.remote if single else False,
    )


def publish(queue: str, jobs: Iterable[CutoutJob], issued: float) -> int:
    """Send jobs, marked as issued at that moment, to a queue; return how many.

    Raises RetryableError (`redis_unavailable`). What was not sent falls due in the ledger.
    """
    count = 0
    try:
        with app().producer_or_acquire() as producer:
            for job in jobs:
                app().send_task(
                    names.CUT_TASK,
                    kwargs={"job": job.model_dump(mode="json")},
                    task_id=job.task_id,
                    queue=queue,
                    producer=producer,
                    # what Flower, `inspect` and logs show of a task
                    argsrepr=names.shown(job.photograph.key),
                    kwargsrepr=job.batch,
                    # the ledger's own moment, so that the dispatcher can tell a waiting message
                    # from a lost one
                    headers={"issued": issued},
                )
                count += 1
    except (OperationalError, OSError) as error:
        raise RetryableError(
            ErrorCode.REDIS_UNAVAILABLE, f"Publishing failed ({type(error).__name__})."
        ) from None
    return count
