import random
from pathlib import Path

import pytest

from contract.errors import ErrorCode, RetryableError
from contract.storage import files
from contract.storage.files import FileStore
from contract.storage.json_lines import get_lines, put_lines, stream_lines

LINES = [f'{{"line":{n},"noise":"{random.Random(n).random()}"}}' for n in range(2000)]


@pytest.fixture
def store(tmp_path: Path, monkeypatch) -> FileStore:
    monkeypatch.setattr(files, "CHUNK_BYTES", 1000)
    store = FileStore(tmp_path)
    put_lines(store, "a.jsonl.gz", LINES)
    return store


def test_lines_are_read_as_they_were_written(store: FileStore):
    expected = [line.encode() for line in LINES]
    assert get_lines(store, "a.jsonl.gz") == expected
    assert list(stream_lines(store, "a.jsonl.gz")) == expected


def test_the_same_lines_give_the_same_bytes(store: FileStore):
    put_lines(store, "b.jsonl.gz", LINES)
    assert store.get("a.jsonl.gz").data == store.get("b.jsonl.gz").data


@pytest.mark.parametrize("read", [get_lines, lambda *place: list(stream_lines(*place))])
@pytest.mark.parametrize("damage", [lambda body: body[:-20], lambda body: b"x" + body[1:]])
def test_a_damaged_file_is_named(store: FileStore, read, damage):
    store.put("c.gz", damage(store.get("a.jsonl.gz").data), "application/gzip")
    with pytest.raises(RetryableError, match=r"'c\.gz' is damaged") as caught:
        read(store, "c.gz")
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
