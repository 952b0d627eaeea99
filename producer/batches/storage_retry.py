"""Repeats calls of object storage while a source is listed: an outage must not lose the listing."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import structlog

from contract.errors import PermanentError, RetryableError
from contract.storage import ListPage, Store

log = structlog.get_logger(__name__)

FIRST_TRIES = 3
"""Tries before storage that never answered is given up: its address may be wrong."""
PAGE_KEYS = 1000
"""Keys requested at a time: the most that S3 allows."""
GIVE_UP_SECONDS = 600
"""Seconds without an answer after which storage that answered before is given up."""
PAUSE_SECONDS = (0.2, 20.0)
"""Longest pause before the first repetition, and before any. It doubles in between; the actual
pause is a random share of it (full jitter)."""

T = TypeVar("T")


class StoppedError(Exception):
    """The listing was stopped; another process may go on with it."""


class StorageRetry:
    """How long the threads of one listing wait for object storage that fails."""

    def __init__(self, batch: str = "", must_stop: Callable[[], bool] = lambda: False) -> None:
        """`batch`: its ID, for the log; empty if there is none.

        `must_stop`: whether the listing is to end, checked between two calls of storage.
        """
        self._batch, self._must_stop = batch, must_stop
        self.reason = ""
        """why the listing waits; empty if it does not"""
        self._answered = False
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End all waiting: the waiting threads raise StoppedError."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def while_wanted(self, blocks: Iterable[T]) -> Iterator[T]:
        """Yield what a long download yields. Raises StoppedError once the listing must stop."""
        for block in blocks:
            if self.stopped or self._must_stop():
                raise StoppedError
            yield block

    def retried(self, call: Callable[[], T]) -> T:
        """Return what `call` returns. Raises what it raises at last, or StoppedError."""
        tries, start = 0, time.monotonic()
        while True:
            try:
                answer = call()
            except RetryableError as error:
                tries += 1
                self._wait(error, tries, start)
            except PermanentError:
                self.note_answer()  # an answer, too
                raise
            else:
                self.note_answer()
                return answer

    def pages(self, store: Store, after: str, size: int = 0) -> Iterator[ListPage]:
        """Yield the pages of a store's listing; after an error, go on behind the latest page.

        `size`: keys in a page; 0: PAGE_KEYS.
        """
        tries, start = 0, time.monotonic()
        while True:
            try:
                for page in store.pages(after=after, size=size or PAGE_KEYS):
                    self.note_answer()
                    tries, after = 0, page.last
                    yield page
                    start = time.monotonic()
            except RetryableError as error:
                tries += 1
                self._wait(error, tries, start)
            else:
                return

    def note_answer(self) -> None:
        """Note that storage answers: what it fails with later is waited out."""
        self._answered, self.reason = True, ""

    def _wait(self, error: RetryableError, tries: int, start: float) -> None:
        """Pause before the next try. Raises `error` if there is none, or StoppedError."""
        hopeless = not self._answered and tries >= FIRST_TRIES
        if hopeless or time.monotonic() - start > GIVE_UP_SECONDS:
            raise error
        if not self.reason:
            log.warning("listing waits for storage", batch=self._batch, reason=str(error))
        self.reason = str(error)
        shortest, longest = PAUSE_SECONDS
        pause = random.uniform(0, min(shortest * 2 ** (tries - 1), longest))  # noqa: S311 - spreads load
        if self._stopped.wait(pause) or self._must_stop():
            self.stop()  # the threads that wait for this one's range, too
            raise StoppedError
