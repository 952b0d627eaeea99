"""How long a listing waits for storage."""

import random
from collections.abc import Iterator

import pytest

from contract.errors import ErrorCode, RetryableError
from contract.storage import ListPage, ObjectInfo
from producer.batches import storage_retry
from producer.batches.storage_retry import StorageRetry


def test_pauses_double_from_the_shortest_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    longest_pauses: list[float] = []
    monkeypatch.setattr(random, "uniform", lambda _, longest: longest_pauses.append(longest) or 0)
    answers = iter([True, *[False] * 9, True])

    def call() -> None:
        if not next(answers):
            raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "503")

    patient = StorageRetry()
    patient.retried(call)  # storage that never answered is given up sooner
    patient.retried(call)
    assert longest_pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20]


class Overloaded:
    """Storage that answers each listing with one page of two objects, and fails then."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def pages(self, after: str, size: int) -> Iterator[ListPage]:
        self.begun.append(after)
        keys = [key for key in "abcdef" if key > after]
        if keys:
            yield ListPage([ObjectInfo(key, 1, "e") for key in keys[:size]], keys[:size][-1])
            raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "503")


def test_a_listing_goes_on_behind_its_latest_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_retry, "PAUSE_SECONDS", (0.001, 0.001))
    storage = Overloaded()
    listed = [item.key for page in StorageRetry().pages(storage, "", size=2) for item in page.items]
    assert "".join(listed) == "abcdef"
    assert storage.begun == ["", "b", "d", "f"]
