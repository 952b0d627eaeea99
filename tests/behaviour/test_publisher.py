"""Messages made from a template are those that Celery itself would send."""

import json
from collections.abc import Iterator

import pytest
from celery.contrib.testing.worker import start_worker
from support.services import RedisServer, until

from contract import names
from contract.job import ImageJob, ManifestLine
from contract.ledger.lines import issued_at
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import recipe_for
from contract.rendition import Rendition
from producer.dispatch.publisher import app, publish

QUEUE = names.bulk_queue("u2netp")
BATCH = "b-20200101-000000-aaaaaa"
ISSUED_AT = 1_700_000_000.25


def job(line: int, key: str = "a.jpg") -> ImageJob:
    return ImageJob(
        batch=BATCH, line=line, source="s3://in/été", destination="file:///out", force=True,
        photograph=ManifestLine(key=key, size=1 + line, etag='"1"'),
        recipe=recipe_for("u2netp", (Rendition(background="#ff0000", format="jpg"),)),
    )  # fmt: skip


JOBS = [
    job(0),
    job(1, 'Größe %s 100% {brace} \\ "quoted" \'.jpg'),
    job(2, "line\nbreak\tand \x1b[31m escape.jpg"),
    job(3, '"@task-id" @job "@body".jpg'),
    job(4, "photo \N{CAMERA}.jpg"),
]


@pytest.fixture(autouse=True)
def _broker(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)


def sent_by_celery(jobs: list[ImageJob]) -> None:
    for one in jobs:
        app().send_task(
            names.CUT_TASK, kwargs={"job": one.model_dump(mode="json")}, task_id=one.task_id,
            queue=QUEUE, argsrepr=names.printable(one.photograph.key), kwargsrepr=one.batch,
            headers={"issued": ISSUED_AT},
        )  # fmt: skip


def taken() -> Iterator[dict[str, object]]:
    """Yield every field of each queued message, its body decoded, as kombu's consumers see it."""
    with app().connection_for_read() as connection:
        queue = connection.SimpleQueue(app().amqp.queues[QUEUE])
        for _ in JOBS:
            message = queue.get(timeout=5)
            yield {
                "payload": message.payload, "headers": message.headers,
                "properties": {**message.properties, "delivery_tag": ""},
                "content_type": message.content_type,
                "content_encoding": message.content_encoding,
                "delivery_info": message.delivery_info,
            }  # fmt: skip
            message.ack()


def test_a_published_message_equals_one_that_celery_sends(ledger: RedisLedger) -> None:
    sent_by_celery(JOBS)
    expected = list(taken())
    publish(QUEUE, JOBS, ISSUED_AT)
    assert list(taken()) == expected
    assert [m["headers"]["id"] for m in expected] == [one.task_id for one in JOBS]
    assert ledger.connection.client.llen(QUEUE) == 0


def test_messages_lie_in_redis_as_celery_puts_them_there(ledger: RedisLedger) -> None:
    redis = ledger.connection.client
    sent_by_celery(JOBS)
    expected, keys = redis.lrange(QUEUE, 0, -1), redis.keys()
    redis.flushall()
    publish(QUEUE, JOBS, ISSUED_AT)
    messages = redis.lrange(QUEUE, 0, -1)
    assert set(redis.keys()) <= set(keys)
    assert [issued_at(message) for message in messages] == [str(ISSUED_AT)] * len(JOBS)

    def fields(message: str) -> dict[str, object]:
        decoded = json.loads(message)
        assert decoded["properties"].pop("delivery_tag")
        return {**decoded, "body": ""}

    assert list(map(fields, messages)) == list(map(fields, expected))
    tags = {json.loads(message)["properties"]["delivery_tag"] for message in messages}
    assert len(tags) == len(JOBS)


def test_a_chunk_is_sent_in_one_command(ledger: RedisLedger) -> None:
    redis = ledger.connection.client
    publish(QUEUE, JOBS[:1], ISSUED_AT)
    redis.config_resetstat()
    publish(QUEUE, JOBS, ISSUED_AT)
    assert redis.info("commandstats")["cmdstat_lpush"]["calls"] == 1


@pytest.mark.slow
def test_a_celery_worker_runs_every_published_job() -> None:
    seen: list[ImageJob] = []

    def cut(job: dict[str, object]) -> None:
        seen.append(ImageJob.model_validate(job))

    tasks = app().tasks
    real = tasks.pop(names.CUT_TASK, None)  # if a test has imported it
    try:
        app().task(cut, name=names.CUT_TASK)
        publish(QUEUE, JOBS, ISSUED_AT)
        with start_worker(app(), queues=[QUEUE], perform_ping_check=False, concurrency=1):
            until(lambda: len(seen) == len(JOBS))
    finally:
        del tasks[names.CUT_TASK]
        if real:
            tasks[names.CUT_TASK] = real
    assert seen == JOBS
