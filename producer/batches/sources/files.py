"""Opens the files of a manifest: local, in a bucket or standard input; plain, gzip or zstd."""

import gzip
import hashlib
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BufferedIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

from contract.storage import canonical_location, open_store, split_object
from contract.storage.protocol import CHUNK_BYTES
from producer.batches.arrow import require_pyarrow
from producer.batches.storage_retry import StorageRetry

STDIN = "-"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
DECOMPRESSION_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)


class BadManifestError(Exception):
    """What is wrong with a manifest, as a sentence."""


@contextmanager
def downloaded(location: str, storage_retry: StorageRetry) -> Iterator[BinaryIO]:
    """Yield a file with the content of a location; `-`: standard input.

    Parquet is read from its end, and a download that broke off is repeated, so the content is
    copied to a temporary file first. Raises PermanentError (`object_missing`, `access_denied`,
    `invalid_location`).
    """
    with tempfile.TemporaryFile() as file:
        if location == STDIN:
            while block := sys.stdin.buffer.read(CHUNK_BYTES):
                file.write(block)
        else:
            parent, key = split_object(canonical_location(location))
            store = open_store(parent)

            def copy() -> None:
                file.seek(0)
                file.truncate()
                for block in store.stream(key):
                    file.write(block)

            storage_retry.retried(copy)
        file.seek(0)
        yield cast("BinaryIO", file)


def digest_of(file: BinaryIO, algorithm: str) -> str:
    """Return the digest of a file as hexadecimal digits."""
    digest = hashlib.file_digest(cast("BufferedIOBase", file), algorithm).hexdigest()
    file.seek(0)
    return digest


@contextmanager
def decompressed(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file's content without its compression, if it has one; it can be read from 0 again.

    Raises BadManifestError if the compressed data is damaged.
    """
    magic = file.read(4)
    file.seek(0)
    try:
        if magic.startswith(GZIP):
            with gzip.open(file) as plain:
                yield cast("BinaryIO", plain)
        elif magic == ZSTD:
            with _zstd(file) as plain:
                yield plain
        else:
            yield file
    except DECOMPRESSION_ERRORS:
        raise BadManifestError("The gzip data is damaged or ends early.") from None


@contextmanager
def _zstd(file: BinaryIO) -> Iterator[BinaryIO]:
    pyarrow = import_pyarrow("A manifest compressed by zstd")
    with tempfile.TemporaryFile() as plain:
        try:
            with pyarrow.CompressedInputStream(pyarrow.PythonFile(file), "zstd") as stream:
                while block := stream.read(CHUNK_BYTES):
                    plain.write(block)
        except (pyarrow.ArrowException, OSError):
            raise BadManifestError("The zstd data is damaged or ends early.") from None
        plain.seek(0)
        yield cast("BinaryIO", plain)


def import_pyarrow(what: str) -> Any:
    """Return the package pyarrow. Raises PermanentError (`extra_missing`) without it."""
    require_pyarrow(what)
    import_module("pyarrow.parquet")  # optional, and slow to import
    return import_module("pyarrow")


def shown_location(location: str) -> str:
    """Return how messages name a manifest."""
    return "standard input" if location == STDIN else Path(location).name
