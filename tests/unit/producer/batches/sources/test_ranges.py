"""Several requests at a time list each key once, however the keys are distributed."""

import bisect
import random
import threading
import time
from collections.abc import Iterator
from queue import Queue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.storage import ListPage, ObjectInfo
from producer.batches import storage_retry
from producer.batches.sources import Covered
from producer.batches.sources.ranges import RangeLister
from producer.batches.storage_retry import StoppedError, StorageRetry

PAGE = 10


class Bucket:
    """A store of keys without content, which fails now and then."""

    def __init__(self, keys: list[str], failing: float = 0, seconds: float = 0) -> None:
        self.keys = sorted(keys)
        self.requests = 0
        self.most_at_once = 0
        self._failing, self._seconds = failing, seconds
        self._random = random.Random(1)
        self._running = 0
        self._lock = threading.Lock()

    def pages(self, prefix: str = "", after: str = "", size: int = PAGE) -> Iterator[ListPage]:
        more = True
        while more:
            with self._lock:
                self.requests += 1
                self._running += 1
                self.most_at_once = max(self.most_at_once, self._running)
                fails = self._random.random() < self._failing
            time.sleep(self._seconds)
            with self._lock:
                self._running -= 1
            if fails:
                raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "SlowDown")
            first = bisect.bisect_right(self.keys, after)
            keys = self.keys[first : first + min(size, PAGE)]
            if not keys:
                return
            after = keys[-1]
            more = first + len(keys) < len(self.keys)
            yield ListPage([ObjectInfo(key, 1, "e") for key in keys], after)


def listed(bucket: Bucket, gaps=(("", None),)) -> list[str]:
    covered = Covered("")
    keys: list[str] = []
    for page in RangeLister(bucket, StorageRetry()).pages(list(gaps)):
        keys += [item.key for item in page.items]
        covered.add(page.interval)
    if gaps == (("", None),):
        assert covered.gaps() == []
    return keys


SHAPES = {
    "folders": [f"shelf {n % 7}/{n}.jpg" for n in range(900)],
    "flat": [f"IMG_{n:06}.jpg" for n in range(900)],
    "one deep folder": [f"a/b/c/d/{n:04}/x.jpg" for n in range(900)],
    "few": [f"{n}.jpg" for n in range(9)],
    "none": [],
    "prefixes of each other": ["a" * n for n in range(1, 300)],
    "the last characters": [f"\U0010ffff{chr(0x10FFFF - n)}" for n in range(300)],
    "around the surrogates": [f"\ud7ff{n}" for n in range(99)] + [f"\ue000{n}" for n in range(99)],
    "control characters": [chr(n) + chr(m) for n in range(1, 20) for m in range(1, 20)],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("failing", [0, 0.1])
def test_every_key_is_listed_once(shape: str, failing: float, monkeypatch) -> None:
    monkeypatch.setattr(storage_retry, "PAUSE_SECONDS", (0.001, 0.01))
    monkeypatch.setattr(storage_retry, "FIRST_TRIES", 9)
    assert sorted(listed(Bucket(SHAPES[shape], failing, 0.0005))) == sorted(SHAPES[shape])


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=200))
def test_any_keys_are_listed_once(keys: set[str]) -> None:
    assert sorted(listed(Bucket(list(keys)))) == sorted(keys)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["folders", "flat", "one deep folder"])
def test_a_large_bucket_is_listed_by_several_requests_at_a_time(shape: str) -> None:
    bucket = Bucket(SHAPES[shape], seconds=0.01)
    listed(bucket)
    assert bucket.most_at_once >= 3
    assert bucket.requests < 3 * len(SHAPES[shape]) / PAGE


def test_only_the_gaps_are_listed() -> None:
    bucket = Bucket([f"{n:03}" for n in range(500)])
    keys = listed(bucket, (("099", "199"), ("399", None)))
    assert sorted(keys) == [f"{n:03}" for n in [*range(100, 200), *range(400, 500)]]


def test_two_listings_share_their_storage_retry() -> None:
    shared = StorageRetry()
    for shape in ("folders", "few", "flat"):
        pages = RangeLister(Bucket(SHAPES[shape]), shared).pages([("", None)])
        assert sorted(item.key for page in pages for item in page.items) == sorted(SHAPES[shape])


def test_a_stopped_listing_ends() -> None:
    stopped = StorageRetry()
    stopped.stop()
    with pytest.raises(StoppedError):
        list(RangeLister(Bucket(SHAPES["folders"]), stopped).pages([("", None)]))


def test_a_listing_that_must_stop_in_an_outage_ends_in_all_its_threads(monkeypatch) -> None:
    """Those that have nothing to list wait for the one that has."""
    monkeypatch.setattr(storage_retry, "PAUSE_SECONDS", (0.001, 0.01))
    lister = RangeLister(Bucket(SHAPES["few"], failing=1), StorageRetry(must_stop=lambda: True))
    ended = Queue[BaseException]()

    def list_all() -> None:
        try:
            list(lister.pages([("", None)]))
        except StoppedError as error:
            ended.put(error)

    threading.Thread(target=list_all, daemon=True).start()
    assert isinstance(ended.get(timeout=5), StoppedError)


def test_storage_that_lists_in_another_order_is_refused() -> None:
    bucket = Bucket([f"{n:03}" for n in range(50)])
    bucket.keys.reverse()
    bisect_right = bisect.bisect_right
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            bisect, "bisect_right", lambda keys, after: keys.index(after) + 1 if after else 0
        )
        with pytest.raises(PermanentError, match="in order"):
            listed(bucket)
    assert bisect.bisect_right is bisect_right


def test_the_first_error_of_a_thread_ends_the_listing() -> None:
    class Refusing(Bucket):
        def pages(self, prefix: str = "", after: str = "", size: int = PAGE) -> Iterator[ListPage]:
            if after > "shelf 3":
                raise PermanentError(ErrorCode.ACCESS_DENIED, "no")
            yield from super().pages(prefix, after, size)

    with pytest.raises(PermanentError, match="no"):
        listed(Refusing(SHAPES["folders"]))
