"""A source that is listed by a manifest: a file of keys, or an S3 Inventory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from urllib.parse import unquote

from contract.errors import ErrorCode, PermanentError
from producer.batches.sources import inventory
from producer.batches.sources.files import (
    BadManifestError,
    decompressed,
    digest_of,
    downloaded,
    shown_location,
)
from producer.batches.sources.formats import read_rows
from producer.batches.sources.page import Interval, Page
from producer.batches.sources.rows import (
    MAX_KEY_BYTES,
    MAX_S3_KEY_BYTES,
    Row,
    RowReader,
    Rows,
    text_key,
)
from producer.batches.storage_retry import StorageRetry

PAGE_ROWS = 1000
MAX_NAMED_ROWS = 10
"""Unreadable rows that an error names."""


class ManifestSource:
    """The objects that a manifest names. Positions are numbers of rows."""

    first = 0

    def __init__(
        self, source: str, manifest: str, storage_retry: StorageRetry, stack: ExitStack,
        *, needs_modified: bool,
    ) -> None:  # fmt: skip
        """Read the manifest into a temporary file, which `stack` deletes.

        Raises PermanentError: `object_missing`, `access_denied`, `invalid_location`,
        `invalid_manifest`.
        """
        self._name = shown_location(manifest)
        self._storage_retry = storage_retry
        with _named(self._name):
            self._file = stack.enter_context(downloaded(manifest, storage_retry))
        self.fingerprint = digest_of(self._file, "sha256")
        self._inventory = None
        key_of: Callable[[Row], str | None] = _key_below(source)
        if inventory.is_inventory(manifest):
            with _named(self._name):
                self._inventory = inventory.read(self._file, source)
            key_of = self._inventory.key_of
        max_key_bytes = MAX_S3_KEY_BYTES if source.startswith("s3://") else MAX_KEY_BYTES
        self._reader = RowReader(key_of, needs_modified, max_key_bytes)

    def pages(self, gaps: list[Interval]) -> Iterator[Page]:
        """Yield the objects of the rows that are not covered, and the rows that cannot be read.

        Raises PermanentError (`invalid_manifest`) if no row of a page can be read and none before:
        such a file was not meant as a manifest.
        """
        for start, _end in gaps:  # one at most, as rows are read in order
            with _named(self._name):
                yield from self._pages(int(start))

    def _pages(self, position: int) -> Iterator[Page]:
        rows, is_continued = self._rows(), position > 0
        for _ in islice(rows, position):
            pass
        while True:
            before = self._reader.rows
            items = self._reader.objects(islice(rows, PAGE_ROWS))
            count, unreadable = self._reader.rows - before, self._reader.take_unreadable()
            if not count:
                break
            if unreadable and not (is_continued or self._reader.readable):
                raise _all_unreadable(self._name, unreadable)
            start, position = position, position + count
            yield Page(items, (start, position), unreadable_rows=unreadable)
        yield Page([], (position, None))

    def _rows(self) -> Rows:
        if self._inventory:
            yield from self._inventory.rows(self._storage_retry)
        else:
            with decompressed(self._file) as file:
                yield from read_rows(file)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn a BadManifestError into an error of the manifest with this name."""
    try:
        yield
    except BadManifestError as error:
        raise _invalid(f"{name}: {error}") from None


def _all_unreadable(name: str, rows: tuple[str, ...]) -> PermanentError:
    more = " ..." if len(rows) > MAX_NAMED_ROWS else ""
    return _invalid(f"{name}: {'; '.join(rows[:MAX_NAMED_ROWS])}{more}.")


def _invalid(message: str) -> PermanentError:
    return PermanentError(ErrorCode.INVALID_MANIFEST, message)


def _key_below(source: str) -> Callable[[Row], str]:
    """Return what turns the key of a row into one below a source.

    Rows name keys below the source, or whole locations: s3://bucket/key, /folder/file.
    """
    if source.startswith("s3://"):
        prefix, absolute = f"{source}/", "s3://"
    else:
        absolute, prefix = "/", unquote(source.removeprefix("file://")).rstrip("/") + "/"

    def key_below(row: Row) -> str:
        key = text_key(row)
        if not key.startswith(absolute):
            return key
        if not key.startswith(prefix):
            raise ValueError(f"not below {source}")
        return key.removeprefix(prefix)

    return key_below
