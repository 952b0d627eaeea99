"""What a store does. Keys are relative to the store's own root and use `/`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, Protocol


class ObjectInfo(NamedTuple):
    """An object in a listing. A tuple, because listings have millions of them."""

    key: str
    size: int
    """bytes; -1 if not known"""
    etag: str
    """changes with the content; compare it, never parse it. Empty if not known"""
    modified: float = 0
    """Unix seconds; 0 if not known"""


@dataclass(frozen=True, slots=True)
class ListPage:
    """A part of a listing, in the order of the keys."""

    items: list[ObjectInfo]
    last: str
    """the last key of the page, even if it names no object: the listing goes on behind it"""
    linked_folders: tuple[str, ...] = ()
    """links to folders, which are not followed, as they can loop"""


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What is known of an object without reading it."""

    size: int
    etag: str
    modified: float
    """Unix seconds"""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blob:
    """An object's bytes, with the ETag of exactly these bytes."""

    data: bytes
    etag: str


CHUNK_BYTES = 1 << 20
"""Bytes that `Store.stream` yields at a time."""


class Store(Protocol):
    """A place for objects. Every method raises RetryableError or PermanentError, no other error."""

    @property
    def uri(self) -> str:
        """The store's location: `open_store(uri)` opens the same store."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in order of the keys' UTF-8 bytes."""
        ...

    def pages(self, prefix: str = "", after: str = "", size: int = 1000) -> Iterator[ListPage]:
        """Yield the same in pages of up to `size` (at most 1000), beginning behind the key `after`.

        After an error, call it again with the `last` of the latest page.
        """
        ...

    def head(self, key: str) -> ObjectHead | None:
        """Return an object's size, ETag and metadata, or None if it does not exist."""
        ...

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        """Return a whole object, decoded as its Content-Encoding says.

        Raises PermanentError: `object_missing`, or `too_many_bytes` before more than `max_bytes`
        are read or decoded.
        """
        ...

    def stream(self, key: str) -> Iterator[bytes]:
        """Open an object, or raise, at once; yield it in chunks of CHUNK_BYTES."""
        ...

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write an object atomically: whole or not at all. Metadata: ASCII keys and values."""
        ...

    def put_unless_changed(
        self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str], etag: str
    ) -> None:
        """Write an object over the one with this ETag; "": only if no object is there.

        Raises RetryableError (`object_changed`) and writes nothing if another writer was faster. A
        folder may miss a writer of the same microseconds. An S3 server that ignores the conditions
        of a PUT misses every one; one that refuses them is asked for the ETag before the PUT.
        """
        ...

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        ...
