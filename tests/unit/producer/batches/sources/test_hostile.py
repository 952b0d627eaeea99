"""Manifests of a few kilobytes that stand for gigabytes cost neither memory nor the batch."""

import gzip
import io
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from resource import RLIMIT_DATA, getrlimit

import pyarrow as pa
import pytest
from pyarrow import parquet

from contract.errors import ErrorCode, PermanentError
from contract.storage import ObjectInfo
from producer.batches import parquet_process
from producer.batches.sources import files, formats
from producer.batches.sources.files import BadManifestError, decompressed
from producer.batches.sources.formats import read_rows
from producer.batches.sources.manifest import ManifestSource
from producer.batches.sources.rows import RowReader, text_key
from producer.batches.storage_retry import StoppedError, StorageRetry

MEBIBYTE = 1 << 20
LONG = "x" * (3 * MEBIBYTE // 2)
"""Of a column with a thousand such texts, which take 1.5 GB."""


def write(path: Path, table: pa.Table, **options: object) -> Path:
    parquet.write_table(table, path, compression="zstd", write_statistics=False, **options)
    return path


def repeated(path: Path) -> Path:
    return write(path, pa.table({"key": pa.array([LONG]).take(pa.array([0] * 1000))}))


def one_page(path: Path) -> Path:
    table = pa.table({"key": ["y" * MEBIBYTE] * 300})
    return write(path, table, use_dictionary=False, data_page_size=1 << 30)


def shared_beginnings(path: Path) -> Path:
    table = pa.table({"key": ["y" * MEBIBYTE] * 300})
    encoding = {"key": "DELTA_BYTE_ARRAY"}
    return write(path, table, use_dictionary=False, column_encoding=encoding)


def endless_line(path: Path) -> Path:
    with gzip.open(path, "wb") as file:
        for _ in range(300):
            file.write(b"x" * MEBIBYTE)
    return path


def endless_zstd(path: Path) -> Path:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        for _ in range(300):
            file.write(b"x" * MEBIBYTE)
    return path


def wide_record(path: Path) -> Path:
    """A record of a hundred lines of a megabyte each."""
    line = b'",' + b",".join([b"z" * 100_000] * 10) + b',"\n'
    path.write_bytes(gzip.compress(b'key,note\na.jpg,"\n' + line * 98 + b'"\n'))
    return path


MEMORY = """
import resource, sys
from contextlib import ExitStack
from contract.errors import PermanentError
from producer.batches.sources.manifest import ManifestSource
from producer.batches.storage_retry import StorageRetry
with ExitStack() as stack:
    source = ManifestSource("s3://b", sys.argv[1], StorageRetry(), stack, needs_modified=False)
    try:
        list(source.pages([(0, None)]))
    except PermanentError as error:
        print(error)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) // 1024)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""
MORE_MEMORY = "The Parquet file needs more than 128 MiB of memory: write it with smaller row groups"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (repeated, MORE_MEMORY),
        (one_page, MORE_MEMORY),
        (shared_beginnings, MORE_MEMORY),
        (endless_line, "Line 1 has more than 1,048,576 bytes."),
        (endless_zstd, "Line 1 has more than 1,048,576 bytes."),
        (wide_record, "line 2: a quote is not closed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_is_refused_in_little_memory(make, sentence: str, tmp_path: Path) -> None:
    manifest = make(tmp_path / "list")
    assert manifest.stat().st_size < 2 * MEBIBYTE
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(manifest)], capture_output=True, text=True, check=True
    )
    message, *memory = done.stdout.splitlines()
    assert "invalid_manifest" in message
    assert sentence in message
    assert max(map(int, memory)) < 200, memory


def test_empty_lines_are_pages_so_that_the_listing_can_be_stopped(tmp_path: Path) -> None:
    manifest = tmp_path / "list"
    manifest.write_bytes(b"key\na.jpg\n" + b"\n" * 5000 + b"b.jpg\n")
    with ExitStack() as stack:
        source = ManifestSource("/x", str(manifest), StorageRetry(), stack, needs_modified=False)
        pages = list(source.pages([(0, None)]))
    assert [[item.key for item in page.items] for page in pages] == [
        ["a.jpg"], [], [], [], [], ["b.jpg"], []
    ]  # fmt: skip
    assert pages[-1].interval == (5002, None)
    with pytest.raises(BadManifestError, match=r"first 1,000 lines are empty"):
        list(read_rows(io.BytesIO(b"\n" * 2000 + b"key\n")))


def objects(data: bytes) -> list[ObjectInfo]:
    reader = RowReader(text_key, needs_modified=False)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        with decompressed(file) as plain:
            found = reader.objects(read_rows(plain))
        assert reader.unreadable == []
    return found


def table_bytes(table: pa.Table, **options: object) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out, **options)
    return out.getvalue()


KEYS = [f"shoes/{number:06}.jpg" for number in range(2500)]


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd])
def test_parquet_may_be_compressed_as_a_whole(compress) -> None:
    data = table_bytes(pa.table({"key": KEYS, "note": ["n" * 1000] * len(KEYS)}))
    assert [item.key for item in objects(compress(data))] == KEYS


def test_a_parquet_bomb_is_not_unpacked_to_the_disk(monkeypatch) -> None:
    monkeypatch.setattr(files, "MAX_UNPACKED_PARQUET_BYTES", 1 << 30)
    monkeypatch.setattr(files, "_copy", limited(files._copy, 1000))
    with pytest.raises(BadManifestError, match="divide it"):
        objects(gzip.compress(b"PAR1" + bytes(5000)))


def limited(copy, max_bytes: int):
    return lambda blocks, file, _: copy(blocks, file, max_bytes)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([datetime(2026, 1, 1)], pa.timestamp("ms")),  # noqa: DTZ001 - as Spark writes them
        pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "Europe/Paris")),
        pa.array([1_767_225_600_000_000_001], pa.timestamp("ns", "UTC")),
        pa.array(["2026-01-01T00:00:00Z"]),
        pa.array([1_767_225_600]),
    ],
    ids=["without a zone", "with a zone", "nanoseconds", "text", "number"],
)
def test_times_in_parquet(times: pa.Array) -> None:
    table = pa.table({"Key": ["a.jpg"], "LastModifiedDate": times, "Size": [12], "e_tag": ["abc"]})
    expected = [ObjectInfo("a.jpg", 12, "abc", 1_767_225_600.0)]
    assert objects(table_bytes(table)) == expected
    if pa.types.is_timestamp(times.type) and times.type.tz is None:
        data = table_bytes(table, use_deprecated_int96_timestamps=True, store_schema=False)
        assert objects(data) == expected


def test_times_up_to_1970_stand_for_none() -> None:
    times = pa.array([0, -1, None, 1_000_000], pa.timestamp("us"))
    found = objects(table_bytes(pa.table({"key": KEYS[:4], "last_modified": times})))
    assert [item.modified for item in found] == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PAR1" + b"x" * 100, "cannot be read"),
        (table_bytes(pa.table({"name": ["a"]})), "no column `key`"),
        (table_bytes(pa.table({"key": ["k" * (5 * MEBIBYTE)]})), "row has more than 1,048,576"),
    ],
    ids=["damaged", "another table", "a long row"],
)
def test_parquet_that_is_no_manifest(data: bytes, message: str) -> None:
    with pytest.raises(BadManifestError, match=message):
        objects(data)


def test_a_reader_that_dies_is_reported(monkeypatch) -> None:
    dying = [sys.executable, "-c", "print('[\"key\"]', flush=True); import os; os.abort()"]
    monkeypatch.setattr("producer.batches.sources.parquet.python_command", lambda _: dying)
    with pytest.raises(BadManifestError, match=r"ended the process that reads it \(status -6\)"):
        objects(table_bytes(pa.table({"key": KEYS})))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_of_all_processes_does_not_blame_the_manifest(monkeypatch, number) -> None:
    """A service manager, or Ctrl-C, sends the signal to the reader, too."""
    code = "import os, signal, sys; n = int(sys.argv[1]); signal.signal(n, signal.SIG_DFL);"
    command = [sys.executable, "-c", f"{code} os.kill(os.getpid(), n)", str(int(number))]
    monkeypatch.setattr("producer.batches.sources.parquet.python_command", lambda _: command)
    with pytest.raises(StoppedError):
        objects(table_bytes(pa.table({"key": KEYS})))


def test_a_limit_of_memory_that_is_lower_already_is_kept(monkeypatch) -> None:
    asked = []

    def refuse(resource: int, limits: tuple[int, int]) -> None:
        asked.append((resource, limits))
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(parquet_process.resource, "setrlimit", refuse)
    before = getrlimit(RLIMIT_DATA)
    parquet_process._limit_memory()
    assert [resource for resource, _ in asked] == [RLIMIT_DATA]
    assert getrlimit(RLIMIT_DATA) == before


def test_long_rows_of_parquet_are_split() -> None:
    keys = [f"{number:04}" + "k" * 3000 for number in range(1500)]
    assert [item.key for item in objects(table_bytes(pa.table({"key": keys})))] == keys


def source_of(location: str, retry: StorageRetry) -> None:
    with ExitStack() as stack:
        ManifestSource("s3://b", location, retry, stack, needs_modified=False)


def test_a_manifest_is_limited_as_stored(tmp_path: Path, monkeypatch) -> None:
    manifest = tmp_path / "list"
    manifest.write_bytes(b"a.jpg\n" * 100)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 500)
    with pytest.raises(PermanentError, match="list: It has more than") as caught:
        source_of(str(manifest), StorageRetry())
    assert caught.value.code is ErrorCode.INVALID_MANIFEST


def test_a_full_disk_is_reported() -> None:
    refused = pytest.raises(BadManifestError, match="free disk space there, or set TMPDIR")
    with refused, Path("/dev/full").open("r+b") as file:  # buffered, as a temporary file is
        files._copy([b"a.jpg"], file, 100)


def test_a_download_ends_when_the_listing_must_stop(tmp_path: Path) -> None:
    manifest = tmp_path / "list"
    manifest.write_bytes(b"a.jpg\n" * 100)
    with pytest.raises(StoppedError):
        source_of(str(manifest), StorageRetry(must_stop=lambda: True))


def test_a_key_has_at_most_the_bytes_that_s3_allows(tmp_path: Path) -> None:
    manifest = tmp_path / "list"
    manifest.write_text("a.jpg\n" + "é" * 513 + "\n" + "é" * 512 + "\n")
    with ExitStack() as stack:
        source = ManifestSource(
            "s3://b", str(manifest), StorageRetry(), stack, needs_modified=False
        )
        page, _ = source.pages([(0, None)])
    assert [item.key for item in page.items] == ["a.jpg", "é" * 512]
    assert page.unreadable_rows == ("line 2: the key has more than 1,024 bytes",)


def test_a_record_has_at_most_so_many_characters(monkeypatch) -> None:
    monkeypatch.setattr(formats, "MAX_RECORD_CHARACTERS", 50)
    text = 'key,note\na.jpg,"' + "one line\n" * 9 + '"\nb.jpg,\n'
    reader = RowReader(text_key, needs_modified=False)
    found = reader.objects(read_rows(io.BytesIO(text.encode())))
    assert [item.key for item in found] == ["b.jpg"]
    assert reader.unreadable[0] == "line 2: a quote is not closed"
