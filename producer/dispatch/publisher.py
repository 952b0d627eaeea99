"""Publishes jobs to the broker. The producer's only Celery import."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from celery import Celery
from kombu import Producer, exceptions

from contract import names, traces
from contract.batch import BatchSpec
from contract.broker import broker_options
from contract.errors import ErrorCode, RetryableError
from contract.job import ImageJob, ManifestLine
from contract.ledger import Issued
from contract.settings import settings
from contract.span import Attributes
from producer.dispatch import envelopes
from producer.dispatch.envelopes import EnvelopeTemplate

CLAIM_GRACE_SECONDS = 2
"""Time between a worker's receiving a message and its claim of the line. Meanwhile the line is
neither queued nor claimed, and must not count as lost."""


@cache
def app() -> Celery:
    """Return the process's Celery app for sending. Tasks are sent by name: no worker code."""
    celery = Celery("cutout")
    celery.conf.update(
        **broker_options(settings()),
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
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
        backdrop=cutout.backdrop if cutout else None,
    )


def publish(queue: str, jobs: Sequence[ImageJob], issued_at: float) -> None:
    """Send jobs to a queue: all of them, or none. Raises RetryableError (`redis_unavailable`)."""
    try:
        redis_key, template = template_of(queue)
        with traces.spans("publish", "producer", jobs, _trace_attributes) as spans:
            messages = [
                template.message(job, issued_at, span.traceparent)
                for job, span in zip(jobs, spans, strict=True)
            ]
            with app().producer_or_acquire() as producer:
                channel: Any = producer.channel
                with channel.conn_or_acquire() as client:
                    client.lpush(redis_key, *messages)
    except _publish_errors() as error:
        raise RetryableError(
            ErrorCode.REDIS_UNAVAILABLE, f"Publishing failed ({type(error).__name__})."
        ) from None


def _trace_attributes(job: ImageJob) -> Attributes:
    release: Attributes = {"cutout.model": job.recipe.model, "cutout.pipeline": job.recipe.pipeline}
    return {**traces.line_attributes(job.batch, job.line, job.photograph.key), **release}


def send_sample(queue: str, producer: Producer) -> None:
    """Have Celery send a message whose fields are the placeholders of an EnvelopeTemplate."""
    # by the ledger's clock: tells a queued message from a lost one
    headers = {"issued": envelopes.ISSUED}
    if traces.are_on():
        headers["traceparent"] = envelopes.TRACEPARENT
    app().send_task(
        names.CUT_TASK,
        kwargs={"job": envelopes.JOB},
        task_id=envelopes.TASK_ID,
        queue=queue,
        producer=producer,
        # what Flower, `inspect` and logs show of a task
        argsrepr=envelopes.PHOTOGRAPH,
        kwargsrepr=envelopes.BATCH,
        headers=headers,
    )


@cache
def template_of(queue: str) -> tuple[str, EnvelopeTemplate]:
    """Return the Redis key of a queue, and the template of its messages.

    Celery and kombu take a sample through every step but the last, the write to Redis.
    """
    sent: list[tuple[str, dict[str, Any]]] = []
    with app().producer_or_acquire() as producer:
        channel: Any = producer.channel
        channel._put = lambda queue, message, **_: sent.append((queue, message))  # noqa: SLF001
        try:
            send_sample(queue, producer)
        finally:
            del channel._put  # noqa: SLF001
        [(queue, message)] = sent
        priority = channel._get_message_priority(message, reverse=False)  # noqa: SLF001
        return channel._q_for_pri(queue, priority), EnvelopeTemplate(message)  # noqa: SLF001


@cache
def _publish_errors() -> tuple[type[BaseException], ...]:
    """Return what is raised if Redis is unreachable, full, or a read-only replica."""
    connection = app().connection_for_write()
    redis_errors = (*connection.connection_errors, *connection.channel_errors)
    return (*redis_errors, exceptions.OperationalError, OSError)
