"""Compressed files of JSON lines: segments of a manifest and of outcome rows."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

from contract.errors import ErrorCode, RetryableError
from contract.storage.protocol import CHUNK_BYTES, Store

CONTENT_TYPE = "application/gzip"
COMPRESSED_LINES = 1000
"""Lines compressed at a time."""
LEVEL = 6
"""Of gzip. Level 9 saves another 1 % and takes twice as long."""


def put_lines(store: Store, key: str, lines: Iterable[str | bytes]) -> None:
    """Write lines as one object. The same lines always give the same bytes."""
    writer = zlib.compressobj(LEVEL, wbits=zlib.MAX_WBITS | 16)
    body = bytearray()
    every = iter(lines)
    while some := list(islice(every, COMPRESSED_LINES)):  # lines may be long: not all in one text
        encoded = [line if isinstance(line, bytes) else line.encode() for line in some]
        body += writer.compress(b"\n".join([*encoded, b""]))
    store.put(key, bytes(body + writer.flush()), CONTENT_TYPE)


def get_lines(store: Store, key: str) -> list[bytes]:
    """Return the lines of an object.

    Raises RetryableError (`storage_unavailable`) if it is damaged.
    """
    body = store.get(key).data
    try:
        return gzip.decompress(body).splitlines()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise _damaged(key) from None


def stream_lines(store: Store, key: str) -> Iterator[bytes]:
    """Yield the lines of an object of any size; memory holds a chunk of it.

    Raises RetryableError (`storage_unavailable`) if it is damaged.
    """
    rest = b""
    try:
        for chunk in decompressed(store.stream(key)):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    except (EOFError, zlib.error):
        raise _damaged(key) from None


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of a gzip file. Raises EOFError or zlib.error if it is damaged."""
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    for chunk in chunks:
        pending = chunk
        while pending:
            yield reader.decompress(pending, CHUNK_BYTES)
            pending = reader.unconsumed_tail
    yield reader.flush()
    if not reader.eof:
        raise EOFError


def _damaged(key: str) -> RetryableError:
    return RetryableError(
        ErrorCode.STORAGE_UNAVAILABLE, f"{key!r} is damaged: it is not a complete gzip file."
    )
