"""One attempt at one image: who makes it, how long it may take, and what it has used."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from contract.counters import counters
from contract.job import ImageJob
from contract.metrics import WORKER_STAGE
from contract.outcome import Outcome, Status
from worker.foreign import ForeignJob
from worker.store import ClaimTimer
from worker.usage import Usage


@dataclass
class Attempt:
    """One attempt at one image, and the milliseconds spent in each stage."""

    job: ImageJob | ForeignJob
    number: int
    token: str
    worker: str
    deadline: float
    """until when it waits for Redis, by `time.monotonic`"""
    claim_timer: ClaimTimer
    output_etag: str = ""
    """of the output that the destination held before; empty: none"""
    milliseconds: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self.milliseconds[name] = round(seconds * 1000)
        counters.observe(WORKER_STAGE, seconds, name)

    def outcome(self, status: Status, **fields: object) -> Outcome:
        """Return the image's outcome; `fields`: more of its fields."""
        return Outcome.model_validate(
            {
                "line": self.job.line,
                "key": self.job.photograph.key,
                "status": status,
                "attempts": self.number,
                "worker": self.worker,
                "milliseconds": self.milliseconds,
                **self.usage.fields(),
                **fields,
            }
        )
