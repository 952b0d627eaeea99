"""A source that is listed by the manifest of another batch, in the same destination."""

from collections.abc import Iterator

from contract.batch import BatchSpec
from contract.storage import ObjectInfo
from contract.storage.batch_files import manifest_lines, read_spec
from producer.batches.sources.page import Interval, Page
from producer.batches.storage_retry import StorageRetry


class BatchSource:
    """The photographs of another batch. See `producer.batches.sources.page.Source`."""

    first = 0
    fingerprint = ""

    def __init__(self, spec: BatchSpec, storage_retry: StorageRetry) -> None:
        """Raise PermanentError (`batch_unknown`) if its files were deleted."""
        batch = spec.selection.batch
        self._listed = storage_retry.retried(lambda: read_spec(batch, spec.destination))
        self._storage_retry = storage_retry

    def pages(self, gaps: list[Interval]) -> Iterator[Page]:
        for start, _end in gaps:  # one at most, as segments are read in order
            yield from self._pages(int(start))

    def _pages(self, position: int) -> Iterator[Page]:
        first, offset = divmod(position, self._listed.segment_lines)
        for segment in range(first, self._listed.segments):
            lines = self._storage_retry.retried(
                lambda segment=segment: [*manifest_lines(self._listed, segment)]  # type: ignore[misc]
            )
            # without ETags: photographs may have changed since
            items = [ObjectInfo(line.key, line.size, "") for line in lines[offset:]]
            start, position, offset = position, position + len(items), 0
            yield Page(items, (start, position))
        yield Page([], (position, None))
