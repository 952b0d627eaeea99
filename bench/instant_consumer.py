"""Stands in for a fleet of workers: takes messages off the queue and settles their lines at once.

usage: instant_consumer.py [--together]     (CUTOUT_REDIS_URL must be set)

It makes the ledger's calls that a worker makes, claim and finish, but none of Celery's: no
acknowledgements, no events. With `--together` the lines of a hundred messages are settled in one
round trip, without a claim: for batches so large that the fleet would take hours.
"""

import base64
import json
import signal
import sys
import time
from collections import defaultdict
from typing import Any

from no_op_worker import STAGES

from contract import names
from contract.job import ImageJob
from contract.ledger import Claim
from contract.ledger.records import Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Output, Status
from contract.settings import settings

MESSAGES = 100
"""Messages taken at a time."""
IDLE_SECONDS = 0.005
REGISTER_SECONDS = 10


def job_of(message: str) -> ImageJob:
    _, arguments, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    return ImageJob.model_validate(arguments["job"])


def outcome_of(job: ImageJob) -> Outcome:
    return Outcome(
        line=job.line, key=job.photograph.key, status=Status.DONE, milliseconds=STAGES,
        foreground=0.3125, source_etag=job.photograph.etag,
        outputs=[
            Output(
                key=job.output_key(rendition), name=rendition.name,
                width=2400, height=1600, bytes=1_234_567,
            )
            for rendition in job.recipe.outputs
        ],
    )  # fmt: skip


def settle_each(ledger: RedisLedger, jobs: list[ImageJob]) -> None:
    for job in jobs:
        claim = ledger.lines.claim(job.batch, job.line, "bench-1:0", 300, quarantine=False)
        if isinstance(claim, Claim):
            ledger.lines.finish(job.batch, outcome_of(job))


def settle_together(ledger: RedisLedger, jobs: list[ImageJob]) -> None:
    batches: defaultdict[str, list[Outcome]] = defaultdict(list)
    for job in jobs:
        batches[job.batch].append(outcome_of(job))
    for batch, outcomes in batches.items():
        ledger.lines.finish_all(batch, outcomes)


def main(*, together: bool) -> None:
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    ledger = RedisLedger(settings().require_redis_address())
    redis: Any = ledger.connection.client
    queue = names.bulk_queue(settings().model)
    registered = -REGISTER_SECONDS
    while not stopping:
        if time.monotonic() - registered > REGISTER_SECONDS:
            ledger.workers.register(Worker("instant@bench", queue, 1, 0))
            registered = time.monotonic()
        messages = redis.rpop(queue, MESSAGES)
        if not messages:
            time.sleep(IDLE_SECONDS)
            continue
        settle = settle_together if together else settle_each
        settle(ledger, [job_of(message) for message in messages])


if __name__ == "__main__":
    main(together="--together" in sys.argv)
