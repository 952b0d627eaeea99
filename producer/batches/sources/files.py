"""Opens the files of a manifest: local, in a bucket or standard input; plain, gzip or zstd."""

import errno
import gzip
import hashlib
import io
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from contract.storage import canonical_location, open_store, split_object
from contract.storage.protocol import CHUNK_BYTES
from producer.batches.arrow import require_pyarrow
from producer.batches.storage_retry import StorageRetry

STDIN = "-"
GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
PEEK_BYTES = 256
DECOMPRESSION_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)
MAX_FILE_BYTES = 8 << 30
"""Bytes of a manifest, or of one file of an inventory, as it is stored: 100 million keys."""
MAX_UNPACKED_PARQUET_BYTES = 1 << 30
"""Bytes of a Parquet file that is compressed as a whole. It must lie on the disk to be read."""


class BadManifestError(Exception):
    """What is wrong with a manifest, as a sentence."""


@contextmanager
def downloaded(location: str, storage_retry: StorageRetry) -> Iterator[BinaryIO]:
    """Yield a file with the content of a location; `-`: standard input.

    Parquet is read from its end, and a download that broke off is repeated, so the content is
    copied to a temporary file first. Raises PermanentError (`object_missing`, `access_denied`,
    `invalid_location`), BadManifestError if it is too large, or StoppedError.
    """
    with tempfile.TemporaryFile() as file:
        if location == STDIN:
            _copy(_blocks(sys.stdin.buffer), file, MAX_FILE_BYTES)
        else:
            parent, key = split_object(canonical_location(location))
            store = open_store(parent)

            def copy() -> None:
                file.seek(0)
                file.truncate()
                blocks = storage_retry.while_wanted(store.stream(key))
                _copy(blocks, file, MAX_FILE_BYTES)

            storage_retry.retried(copy)
        yield cast("BinaryIO", file)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(CHUNK_BYTES):
        yield block


def _copy(blocks: Iterable[bytes], file: IO[bytes], max_bytes: int) -> None:
    """Write to a temporary file, and go to its start. Raises BadManifestError."""
    size = 0
    try:
        for block in blocks:
            size += len(block)
            if size > max_bytes:
                raise BadManifestError(f"It has more than {max_bytes >> 30} GiB: divide it.")
            file.write(block)
        file.seek(0)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        with suppress(OSError):
            file.close()  # its buffer is not written: else the end of its context raises this again
        raise BadManifestError(
            f"It does not fit into {tempfile.gettempdir()}: free disk space there, or set TMPDIR."
        ) from None


def peek(file: BinaryIO) -> bytes:
    """Return the first PEEK_BYTES of a file that is at its start, or the whole; it stays there."""
    if file.seekable():
        start = file.read(PEEK_BYTES)
        file.seek(0)
        return start
    return cast("io.BufferedReader", file).peek(PEEK_BYTES)[:PEEK_BYTES]


def digest_of(file: BinaryIO, algorithm: str) -> str:
    """Return the digest of a file as hexadecimal digits."""
    digest = hashlib.file_digest(cast("io.BufferedIOBase", file), algorithm).hexdigest()
    file.seek(0)
    return digest


@contextmanager
def decompressed(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file's content without its compression, if it has one, from the start.

    It is decompressed while it is read: a few kilobytes may stand for terabytes. Parquet alone is
    in a file of its own, as it is read from its end. Raises BadManifestError if the compressed data
    is damaged.
    """
    magic = peek(file)
    try:
        if magic.startswith(GZIP):
            with gzip.open(file) as plain, _seekable(cast("BinaryIO", plain)) as content:
                yield content
        elif magic.startswith(ZSTD):
            with io.BufferedReader(_Zstd(file), CHUNK_BYTES) as rest, _seekable(rest) as content:
                yield content
        else:
            yield file
    except DECOMPRESSION_ERRORS:
        raise BadManifestError("The gzip data is damaged or ends early.") from None


@contextmanager
def _seekable(plain: BinaryIO) -> Iterator[BinaryIO]:
    """Yield decompressed content; if it is Parquet, as a temporary file."""
    if not peek(plain).startswith(PARQUET):
        yield plain
        return
    with tempfile.TemporaryFile() as file:
        _copy(_blocks(plain), file, MAX_UNPACKED_PARQUET_BYTES)
        yield cast("BinaryIO", file)


class _Zstd(io.RawIOBase):
    """The content of a zstd file. Its window, which is in memory, has at most 128 MiB."""

    def __init__(self, file: BinaryIO) -> None:
        self._pyarrow = import_pyarrow("A manifest compressed by zstd")
        self._stream = self._pyarrow.CompressedInputStream(self._pyarrow.PythonFile(file), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (self._pyarrow.ArrowException, OSError):
            raise BadManifestError("The zstd data is damaged or ends early.") from None
        buffer[: len(data)] = data
        return len(data)


def import_pyarrow(what: str) -> Any:
    """Return the package pyarrow. Raises PermanentError (`extra_missing`) without it."""
    require_pyarrow(what)
    return import_module("pyarrow")  # optional, and slow to import


def shown_location(location: str) -> str:
    """Return how messages name a manifest."""
    return "standard input" if location == STDIN else Path(location).name
