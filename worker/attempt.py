"""One attempt at one image: who makes it, how long it may take, and what it has used."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from contract import traces
from contract.counters import counters
from contract.errors import INFRASTRUCTURE_CODES, CutoutError, ErrorCode, PermanentError
from contract.job import ImageJob
from contract.metrics import WORKER_STAGE
from contract.outcome import Outcome, Output, Status
from contract.recipe import Recipe
from contract.rendition import Rendition
from worker.foreign import ForeignJob
from worker.imaging.layout import Size
from worker.store import ClaimLostError, ClaimTimer
from worker.usage import Usage


def note_attempt(number: int) -> None:
    """Add an attempt's number to the log lines and to the trace of the current image."""
    structlog.contextvars.bind_contextvars(attempt=number)
    traces.annotate({"cutout.attempt": number})


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
    source_etag: str = ""
    """of the photograph that the outputs are made of; empty if there is no output yet"""
    output_etags: dict[str, str] = field(default_factory=dict)
    """of the outputs that the destination held before, by key; empty: none"""
    outputs: dict[str, Output] = field(default_factory=dict)
    """those that are current or were written, by rendition"""
    doubts: tuple[ErrorCode, ...] = ()
    """about the photograph's subject, as far as they are known"""
    review: ErrorCode | None = None
    """the doubt for which all renditions go to review, if one does"""
    failures: dict[str, Exception] = field(default_factory=dict)
    """why a rendition could not be made, by rendition; only if the recipe has several"""
    milliseconds: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        with traces.span(name):
            yield
        seconds = time.perf_counter() - start
        self.milliseconds[name] = round(seconds * 1000)
        counters.observe(WORKER_STAGE, seconds, name)

    def add_output(
        self, rendition: Rendition, size: Size | None = None, length: int = 0,
        review: ErrorCode | None = None,
    ) -> None:  # fmt: skip
        """Note an output that exists. `size`, `length`: in pixels and bytes, if it was written.

        `review`: why it lies below `_review/`.
        """
        width, height = size or (None, None)
        passes = rendition.verify if review is not ErrorCode.PRESET_FAILED else None
        self.outputs[rendition.name] = Output(
            name=rendition.name, key=self.output_key(rendition, review), review=review,
            width=width, height=height, bytes=length, preset=passes or "",
        )  # fmt: skip

    def output_key(self, rendition: Rendition, review: ErrorCode | None) -> str:
        """Return the key of an output that is delivered, or for a reason goes to review."""
        job = self._image_job
        return job.review_key(rendition) if review else job.output_key(rendition)

    @property
    def recipe(self) -> Recipe:
        return self._image_job.recipe

    @contextmanager
    def failing_alone(self, rendition: Rendition) -> Iterator[None]:
        """Let the other renditions be made if one cannot.

        Raises what concerns them too: errors of the infrastructure, the time limit, and a lost
        claim. And every error if there are no others.
        """
        try:
            yield
        except (SoftTimeLimitExceeded, ClaimLostError):
            raise
        except Exception as error:
            shared = isinstance(error, CutoutError) and error.code in INFRASTRUCTURE_CODES
            if shared or self.recipe.is_single:
                raise
            self.failures[rendition.name] = error

    def raise_failure(self) -> None:
        """Raise why a rendition could not be made, if any: first what another attempt may make."""
        failures = sorted(
            self.failures.items(), key=lambda failure: isinstance(failure[1], PermanentError)
        )
        for name, error in failures:
            if isinstance(error, CutoutError):
                raise type(error)(error.code, f"The rendition {name}: {error.message}")
            raise error

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
                "outputs": self._outputs_in_order(),
                "doubts": [*self.doubts],
                "source_etag": self._changed_etag(),
                **self.usage.fields(),
                **fields,
            }
        )

    def _outputs_in_order(self) -> list[Output]:
        if not self.outputs:
            return []
        return [self.outputs[r.name] for r in self.recipe.outputs if r.name in self.outputs]

    def _changed_etag(self) -> str:
        """Return the ETag of the photograph, unless there is no output or it is the manifest's."""
        if not self.outputs or self.source_etag == self._image_job.photograph.etag:
            return ""
        return self.source_etag

    @property
    def _image_job(self) -> ImageJob:
        if isinstance(self.job, ForeignJob):
            raise TypeError("a foreign job has no renditions")
        return self.job
