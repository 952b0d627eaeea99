"""What a batch would be: how many photographs, how large, and how long they would take."""

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError
from contract.ledger import Ledger
from contract.outcome import Outcome, Status
from contract.storage import ObjectInfo, open_store, outcome_files
from producer.batches.outputs import listed_outputs
from producer.batches.selection import PhotographFilter
from producer.batches.sources import Covered, open_source
from producer.batches.storage_retry import StorageRetry

MAX_MEASURED_BATCHES = 20
"""Latest batches that are searched for durations of images."""
MEASURED_IMAGES = 1000


@dataclass
class Preview:
    """The size of a batch that was not submitted."""

    photographs: int = 0
    bytes: int = 0
    """of the photographs whose size is known"""
    unknown_sizes: int = 0
    """photographs whose size a manifest does not tell"""
    ignored: int = 0
    excluded: int = 0
    linked_folders: tuple[str, ...] = ()
    unreadable: int = 0
    """rows of a manifest that cannot be read"""
    unreadable_rows: tuple[str, ...] = ()
    """the first of them"""

    def add(self, photographs: list[ObjectInfo]) -> None:
        self.photographs += len(photographs)
        sizes = [item.size for item in photographs if item.size >= 0]
        self.bytes += sum(sizes)
        self.unknown_sizes += len(photographs) - len(sizes)


def preview(spec: BatchSpec) -> Preview:
    """List the source of a batch and write nothing. Raises as `list_source`."""
    result = Preview()
    with ExitStack() as stack:
        storage_retry = StorageRetry()
        stack.callback(storage_retry.stop)
        source = open_source(spec, storage_retry, stack)
        outputs = stack.enter_context(listed_outputs(spec, storage_retry))
        chosen = PhotographFilter(spec, outputs)
        for page in source.pages(Covered(source.first).gaps()):
            chosen.skip_linked(page.linked_folders)
            chosen.skip_unreadable(page.unreadable_rows)
            result.add(chosen.choose(page.items))
            if chosen.is_full:
                break
        result.add(chosen.rest())
        result.ignored, result.excluded = chosen.ignored, chosen.excluded
        result.linked_folders = tuple(chosen.linked_folders)
        result.unreadable = chosen.unreadable
        result.unreadable_rows = tuple(chosen.unreadable_rows)
    return result


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers that would process a batch, and how fast they were."""

    children: int
    """processes that serve the model"""
    seconds_per_image: float | None
    """mean time that one process takes; None if no batch of the model was processed yet"""

    def seconds(self, images: int) -> float | None:
        """Return how long so many images take, or None if that is not known."""
        if not self.children or self.seconds_per_image is None:
            return None
        return images * self.seconds_per_image / self.children


def fleet(ledger: Ledger, model: str) -> Fleet:
    """Return the workers of a model, and the durations of the latest images with it."""
    queue = names.bulk_queue(model)
    children = sum(worker.children for worker in ledger.workers.list() if worker.queue == queue)
    for progress in ledger.batches.progress_of(ledger.batches.ids()[:MAX_MEASURED_BATCHES]):
        if progress.spec.recipe.model == model and progress.done:
            try:
                durations = _durations(progress.spec)
            except CutoutError:  # its destination is gone
                continue
            if durations:
                return Fleet(children, sum(durations) / len(durations))
    return Fleet(children, None)


def _durations(spec: BatchSpec) -> list[float]:
    """Return the seconds that the latest processed images of a batch took."""
    rows = outcome_files.rows(open_store(spec.destination), spec.id)
    return [_seconds(row) for row in islice(rows, MEASURED_IMAGES) if row.status is Status.DONE]


def _seconds(outcome: Outcome) -> float:
    return sum(outcome.milliseconds.values()) / 1000
