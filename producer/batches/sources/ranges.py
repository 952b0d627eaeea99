"""Lists a bucket with several requests at a time, by dividing its keys into ranges.

One request returns a thousand keys and takes tenths of a second, so a catalogue of ten million keys
would take an hour by one request after the other. Whenever a thread has nothing to list, it divides
a range in which another is still listing: it looks for the first place at which the remaining keys
differ, as in `shelf 1/` and `shelf 2/`, and takes all keys from there on.
"""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Full, Queue

from contract.errors import ErrorCode, PermanentError
from contract.storage import ListPage, Store
from producer.batches.sources.page import Interval, Page
from producer.batches.storage_retry import StoppedError, StorageRetry

THREADS = 8
"""Requests at a time."""
QUEUED_PAGES = 2 * THREADS
"""Pages that wait for the consumer; then the threads wait."""
MIN_PAGES = 3
"""Pages of a range that are listed before it is divided: a small one is not worth the requests."""
WAKE_SECONDS = 0.2
MAX_KEY_CHARACTERS = 256
"""Characters of four bytes in the longest key that S3 allows."""


@dataclass(eq=False)
class Range:
    """The keys behind `cursor`, up to and with `end`.

    One thread lists them; another may take those behind a new `end`.
    """

    cursor: str
    end: str | None
    pages: int = 0
    dividing: bool = False
    indivisible: bool = False

    @property
    def is_divisible(self) -> bool:
        return self.pages >= MIN_PAGES and not self.dividing and not self.indivisible

    @property
    def shared_length(self) -> int:
        """Number of leading characters that the ends have in common: fewer if it may be large."""
        if self.end is None:
            return -1
        pairs = zip(self.cursor, self.end, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), len(self.cursor))


class RangeLister:
    """Lists some intervals of a store with THREADS threads."""

    def __init__(self, store: Store, storage_retry: StorageRetry, threads: int = THREADS) -> None:
        self._store = store
        self._storage_retry = storage_retry
        self._threads = threads
        self._pages: Queue[Page | BaseException | None] = Queue(QUEUED_PAGES)
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._waiting: deque[Range] = deque()
        self._active: set[Range] = set()

    def pages(self, intervals: list[Interval]) -> Iterator[Page]:
        """Yield what lies in the intervals, in any order.

        Raises the first error of a thread, or StoppedError.
        """
        self._waiting.extend(Range(str(a), None if b is None else str(b)) for a, b in intervals)
        for _ in range(self._threads):
            threading.Thread(target=self._work, daemon=True).start()
        running = self._threads
        try:
            while running:
                page = self._pages.get()
                if isinstance(page, BaseException):
                    raise page
                if page is None:
                    running -= 1
                else:
                    yield page
            if self._storage_retry.stopped:
                raise StoppedError
        finally:
            self._ended.set()

    @property
    def _stopped(self) -> bool:
        return self._ended.is_set() or self._storage_retry.stopped

    def _work(self) -> None:
        result: BaseException | None = None
        try:
            while job := self._next():
                self._list(job)
        except StoppedError:
            pass
        except BaseException as error:
            result = error
        self._put(result)

    def _put(self, page: Page | BaseException | None) -> None:
        while not self._ended.is_set():
            try:
                self._pages.put(page, timeout=WAKE_SECONDS)
            except Full:
                continue
            return

    # one range

    def _list(self, job: Range) -> None:
        for page in self._storage_retry.pages(self._store, job.cursor):
            if self._stopped:
                raise StoppedError
            with self._changed:
                ready, ended = _take(job, page)
                self._changed.notify()
            self._put(ready)
            if ended:
                break
        else:
            with self._changed:
                self._active.discard(job)  # from here on, nobody shortens it
            self._put(Page([], (job.cursor, job.end)))
        with self._changed:
            self._active.discard(job)
            self._changed.notify_all()

    # sharing the work

    def _next(self) -> Range | None:
        """Return a range to list, or None if none is left."""
        while not self._stopped:
            with self._changed:
                if self._waiting:
                    job = self._waiting.popleft()
                    self._active.add(job)
                    return job
                if not self._active:
                    self._changed.notify_all()
                    return None
                candidates = [job for job in self._active if job.is_divisible]
                if not candidates:
                    self._changed.wait(WAKE_SECONDS)
                    continue
                widest = min(candidates, key=lambda job: job.shared_length)
                widest.dividing = True
            if part := self._divide(widest):
                return part
        return None

    def _divide(self, job: Range) -> Range | None:
        """Cut a range in two, and return the second part; None if that is not possible."""
        cursor, end = job.cursor, job.end
        boundary = self._boundary(cursor, end)
        with self._changed:
            job.dividing = False
            if boundary is None:
                job.indivisible = True
            elif job in self._active and job.cursor < boundary:
                part = Range(boundary, job.end)
                job.end = boundary
                self._active.add(part)
                return part
        return None

    def _boundary(self, cursor: str, end: str | None) -> str | None:
        """Return where the keys behind `cursor` first differ from it, or None if nowhere.

        By bisection: the shorter a prefix of `cursor`, the fewer keys lie behind all that have it.
        """
        if not self._has_keys(_behind(cursor), end):
            return None
        low, high = 0, len(cursor)  # keys lie behind the prefix of length `high`, none behind `low`
        while high - low > 1:
            middle = (low + high) // 2
            if self._has_keys(_behind(cursor[:middle]), end):
                high = middle
            else:
                low = middle
        return _behind(cursor[:high])

    def _has_keys(self, after: str, end: str | None) -> bool:
        page = next(self._storage_retry.pages(self._store, after, size=1), None)
        return page is not None and (end is None or page.last <= end)


def _take(job: Range, page: ListPage) -> tuple[Page, bool]:
    """Advance a range by a page; return what of the page lies in it, and whether it ends there.

    Raises PermanentError (`storage_unavailable`) if the page is not behind the cursor, in order.
    """
    keys = [job.cursor, *(item.key for item in page.items)]
    if sorted(keys) != keys or page.last <= job.cursor:
        raise PermanentError(
            ErrorCode.STORAGE_UNAVAILABLE, "The storage does not list keys in order of their bytes."
        )
    start, end = job.cursor, job.end
    job.pages += 1
    if end is not None and page.last >= end:
        job.cursor = end
        return Page([item for item in page.items if item.key <= end], (start, end)), True
    job.cursor = page.last
    return Page(page.items, (start, page.last)), False


def _behind(prefix: str) -> str:
    """Return the least text that sorts behind every key with this prefix."""
    if not prefix:
        return chr(0x10FFFF) * MAX_KEY_CHARACTERS
    head, last = prefix[:-1], ord(prefix[-1])
    if last == 0x10FFFF:  # noqa: PLR2004
        return _behind(head)
    following = 0xE000 if last == 0xD7FF else last + 1  # noqa: PLR2004 - no surrogates
    return head + chr(following)
