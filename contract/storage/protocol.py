"""What a store can do. Keys are relative to the store's own root and use `/`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A row of a listing. `etag` changes whenever the content does; compare it, do not parse it."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectHead:
    size: int
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blob:
    """An object's bytes, with the ETag of exactly these bytes."""

    data: bytes
    etag: str


PIECE = 1 << 20
"""Bytes of a streamed object at a time."""


class Store(Protocol):
    """Every call raises RetryableError or PermanentError, and nothing of the vendor's."""

    @property
    def uri(self) -> str:
        """Where it is, such that `open_store(uri)` opens the same store."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield every object whose key starts with `prefix`, in order of the keys' UTF-8 bytes."""
        ...

    def head(self, key: str) -> ObjectHead | None:
        """Return an object's size, ETag and metadata, or None where there is no such object."""
        ...

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        """Read an object whole; refuse it (`too_many_bytes`) before more than that is in memory."""
        ...

    def stream(self, key: str) -> Iterator[bytes]:
        """Open an object, or raise, at once; yield it piece by piece, whatever its size."""
        ...

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write an object whole or not at all. Metadata: ASCII keys and values."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object. One that is not there is no error."""
        ...
