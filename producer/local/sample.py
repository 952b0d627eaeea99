"""Processes a sample of a source on this machine, and measures what that takes."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from contract.batch import Progress, Selection
from contract.cpus import available_cpus
from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.names import extension
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.settings import settings
from producer.batches.preview import Preview, preview
from producer.batches.register import new_spec, register
from producer.batches.report.rows import current
from producer.local.following import follow
from producer.local.stack import Stack
from producer.local.weights import ensure_weights


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sample of the photographs took on this machine."""

    images: int
    failed: int
    formats: dict[str, int]
    """file extension -> photographs"""
    megapixels: float
    """mean of the outputs"""
    cpus: int
    startup_seconds: float
    """until the first image was settled"""
    images_per_second: float
    """of all processes together, once all were busy"""
    cpu_seconds: tuple[float, ...]
    """of each image that is done"""
    bytes_read: tuple[int, ...]
    bytes_written: float
    """mean"""
    s3_requests: float
    """mean"""


def count(source: str, recipe: Recipe) -> Preview:
    """Return how many photographs a source holds, and their size."""
    with TemporaryDirectory(prefix="cutout-plan-") as folder:
        return preview(new_spec(source, str(Path(folder, "outputs")), recipe))


def sample_source(source: str, recipe: Recipe, size: int, workers: int | None) -> Sample:
    """Process some photographs from all over a source in a cluster of their own, and discard them.

    Raises PermanentError as `cutout run` does, and `nothing_to_do` if no photograph of the sample
    is done.
    """
    ensure_weights(recipe.model)
    clock = Clock(time.monotonic())
    with TemporaryDirectory(prefix="cutout-plan-") as folder:
        outcomes, children = process_sample(source, recipe, size, workers, Path(folder), clock.note)
    return _sample(outcomes, clock, children)


def process_sample(
    source: str,
    recipe: Recipe,
    size: int,
    workers: int | None,
    folder: Path,
    note: Callable[[Progress], None] = lambda _: None,
) -> tuple[list[Outcome], int]:
    """Process some photographs in a cluster of their own; return outcomes and worker processes.

    The outputs are below `folder/outputs`. `note` is called with the progress now and then. Raises
    PermanentError as `cutout run` does.
    """
    # neither the cluster's Redis nor its workers: this machine alone works
    config = settings().model_copy(update={"redis_url": None})
    with Stack(config, recipe.model, workers, folder / "state") as stack:
        selection = Selection(sample=size)
        outputs = str(folder / "outputs")
        spec = register(stack.ledger, source, outputs, recipe, selection=selection)

        def check(progress: Progress) -> None:
            stack.check()
            note(progress)

        note(follow(stack.ledger, spec.id, as_json=False, check=check))
        return list(current(stack.ledger, spec)), _children(stack.ledger)


class Clock:
    """How many images were settled, and when."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._settled: list[tuple[float, int]] = []

    def note(self, progress: Progress) -> None:
        if not self._settled or progress.settled != self._settled[-1][1]:
            self._settled.append((time.monotonic(), progress.settled))

    @property
    def startup_seconds(self) -> float:
        return next(moment for moment, settled in self._settled if settled) - self._started

    def images_per_second(self, children: int) -> float:
        """Return the rate while all children were busy: not at the beginning, nor at the end."""
        total = self._settled[-1][1]
        busy = [(t, n) for t, n in self._settled if children <= n <= total - children]
        if len(busy) < 2:  # noqa: PLR2004 - a rate has two ends
            busy = [(t, n) for t, n in self._settled if n]
        (start, first), (end, last) = busy[0], busy[-1]
        if last == first:  # all in one look
            return total / (end - self._started)
        return (last - first) / (end - start)


def _children(ledger: RedisLedger) -> int:
    return max(1, sum(worker.children for worker in ledger.workers.list()))


def _sample(outcomes: list[Outcome], clock: Clock, children: int) -> Sample:
    done = [outcome for outcome in outcomes if outcome.status is Status.DONE]
    if not done:
        reason = next((f": {outcome.message}" for outcome in outcomes), "")
        raise PermanentError(
            ErrorCode.NOTHING_TO_DO, f"No photograph of the sample could be processed{reason}"
        )
    return Sample(
        images=len(outcomes),
        failed=len(outcomes) - len(done),
        formats=dict(Counter(extension(outcome.key).lower() for outcome in outcomes)),
        megapixels=fmean((o.width or 0) * (o.height or 0) / 1e6 for o in done),
        cpus=available_cpus(),
        startup_seconds=clock.startup_seconds,
        images_per_second=clock.images_per_second(children),
        cpu_seconds=tuple(outcome.cpu_ms / 1000 for outcome in done),
        bytes_read=tuple(outcome.bytes_read for outcome in done),
        bytes_written=fmean(outcome.bytes_written for outcome in done),
        s3_requests=fmean(outcome.s3_requests for outcome in done),
    )
