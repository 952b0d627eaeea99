"""Publishes jobs to the broker. The producer's only Celery import."""

from collections.abc import Callable, Iterable
from functools import cache

from celery import Celery
from kombu import exceptions

from contract import names
from contract.batch import BatchSpec
from contract.errors import ErrorCode, RetryableError
from contract.job import ImageJob, ManifestLine
from contract.ledger import Issued
from contract.settings import settings, transport_options

CLAIM_GRACE_SECONDS = 2
"""Time between a worker's receiving a message and its claim of the line. Meanwhile the line is
neither queued nor claimed, and must not count as lost."""

PUBLISH_ERRORS: tuple[type[Exception], ...] = (
    exceptions.OperationalError,
    exceptions.BatchPublishError,  # type: ignore[attr-defined]  # newer than the stubs
    OSError,
)
"""Redis is unreachable, or refused a chunk: it is full, or a read-only replica."""


@cache
def app() -> Celery:
    """Return the process's Celery app for sending. Tasks are sent by name: no worker code."""
    config = settings()
    celery = Celery("cutout", broker=config.broker_url)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        broker_transport_options=transport_options(config),
        broker_connection_retry_on_startup=True,
        # a failed publish is not repeated here: the line becomes overdue and is reissued
        task_publish_retry=False,
    )
    return celery


def queues_of(spec: BatchSpec) -> tuple[str, str]:
    """Return a batch's main queue and its quarantine queue."""
    release = spec.recipe.model, spec.recipe.pipeline
    main = names.interactive_queue(*release) if spec.cutout else names.bulk_queue(*release)
    return main, names.quarantine_queue(*release)


def publish_issued(
    spec: BatchSpec, issued: Issued, photograph_of: Callable[[int], ManifestLine]
) -> None:
    """Publish issued lines to their queues.

    Raises RetryableError (`redis_unavailable`). Lines that were not sent become overdue in the
    ledger and are reissued.
    """
    for queue, lines in zip(queues_of(spec), (issued.bulk, issued.quarantine), strict=True):
        if lines:
            jobs = [job_for(spec, line, photograph_of(line)) for line in lines]
            publish(queue, jobs, issued.issued_at)


def job_for(spec: BatchSpec, line: int, photograph: ManifestLine) -> ImageJob:
    """Return the message for one line of a batch."""
    cutout = spec.cutout
    return ImageJob(
        batch=spec.id,
        line=line,
        source=spec.source,
        destination=spec.destination,
        photograph=photograph,
        recipe=spec.recipe,
        force=spec.force,
        interactive=cutout is not None,
        destination_key=cutout.destination_key if cutout else "",
        source_is_url=cutout.source_is_url if cutout else False,
    )


def publish(queue: str, jobs: Iterable[ImageJob], issued_at: float) -> None:
    """Send jobs to a queue. Raises RetryableError (`redis_unavailable`)."""
    try:
        with app().producer_or_acquire() as producer, producer.batch():
            for job in jobs:
                app().send_task(
                    names.CUT_TASK,
                    kwargs={"job": job.model_dump(mode="json")},
                    task_id=job.task_id,
                    queue=queue,
                    producer=producer,
                    # what Flower, `inspect` and logs show of a task
                    argsrepr=names.printable(job.photograph.key),
                    kwargsrepr=job.batch,
                    # by the ledger's clock: tells a queued message from a lost one
                    headers={"issued": issued_at},
                )
    except PUBLISH_ERRORS as error:
        raise RetryableError(
            ErrorCode.REDIS_UNAVAILABLE, f"Publishing failed ({type(error).__name__})."
        ) from None
