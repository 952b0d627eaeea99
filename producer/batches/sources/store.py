"""Sources that are listed by their store: a folder, a bucket or its prefix, one file."""

from collections.abc import Iterator

from contract.errors import ErrorCode, PermanentError
from contract.storage import ObjectInfo, open_store
from producer.batches.sources.page import Interval, Page
from producer.batches.sources.ranges import THREADS, RangeLister
from producer.batches.storage_retry import StorageRetry


class StoreSource:
    """Every object below a location. See `producer.batches.sources.page.Source`."""

    first = ""
    fingerprint = ""

    def __init__(self, location: str, storage_retry: StorageRetry, *, in_order: bool) -> None:
        """`in_order`: yield the pages in the order of the keys, which takes longer in a bucket."""
        self._store = open_store(location)
        self._storage_retry = storage_retry
        self._threads = THREADS if location.startswith("s3://") and not in_order else 1

    def pages(self, gaps: list[Interval]) -> Iterator[Page]:
        if self._threads > 1:
            yield from RangeLister(self._store, self._storage_retry, self._threads).pages(gaps)
            return
        for start, end in gaps:
            yield from self._pages_between(str(start), end)

    def _pages_between(self, start: str, end: object) -> Iterator[Page]:
        cursor = start
        for page in self._storage_retry.pages(self._store, cursor):
            if end is not None and page.last >= str(end):
                items = [item for item in page.items if item.key <= str(end)]
                linked = tuple(key for key in page.linked_folders if key <= str(end))
                yield Page(items, (cursor, str(end)), linked)
                return
            yield Page(page.items, (cursor, page.last), page.linked_folders)
            cursor = page.last
        yield Page([], (cursor, None if end is None else str(end)))


class OneFile:
    """A single object. See `producer.batches.sources.page.Source`."""

    first = ""
    fingerprint = ""

    def __init__(self, location: str, key: str, storage_retry: StorageRetry) -> None:
        self._store = open_store(location)
        self._key = key
        self._storage_retry = storage_retry

    def pages(self, gaps: list[Interval]) -> Iterator[Page]:
        for interval in gaps:
            head = self._storage_retry.retried(lambda: self._store.head(self._key))
            if head is None:
                raise PermanentError(
                    ErrorCode.OBJECT_MISSING, f"{self._store.uri}/{self._key} does not exist."
                )
            yield Page([ObjectInfo(self._key, head.size, head.etag, head.modified)], interval)
