"""How long a listing waits for storage."""

import random

import pytest

from contract.errors import ErrorCode, RetryableError
from producer.batches.storage_retry import StorageRetry


def test_pauses_double_from_the_shortest_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    longest_pauses: list[float] = []
    monkeypatch.setattr(random, "uniform", lambda _, longest: longest_pauses.append(longest) or 0)
    answers = iter([True, *[False] * 9, True])

    def call() -> None:
        if not next(answers):
            raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "503")

    storage_retry = StorageRetry()
    storage_retry.retried(call)  # storage that never answered is given up sooner
    storage_retry.retried(call)
    assert longest_pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20]
