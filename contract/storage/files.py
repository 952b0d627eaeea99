"""A folder as a store: atomic writes, ETags, metadata, and no path outside the root."""

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.names import RESERVED, check_key, is_reserved
from contract.paths import resolve
from contract.storage.directory import walk
from contract.storage.protocol import CHUNK_BYTES, Blob, ListPage, ObjectHead, ObjectInfo
from contract.storage.whole_file import write_whole

SCRATCH = f"{RESERVED}/unfinished"
METADATA = f"{RESERVED}/metadata"
PRIVATE = {f"{SCRATCH}/", f"{METADATA}/"}
"""Folders that hold this store's own files, which are no objects."""

PERMANENT = {
    errno.ENOENT: (ErrorCode.OBJECT_MISSING, "The file {key!r} does not exist."),
    errno.ENOTDIR: (ErrorCode.UNSAFE_KEY, "A folder in {key!r} is a file."),
    errno.EEXIST: (ErrorCode.UNSAFE_KEY, "A folder in {key!r} is a file."),
    errno.EISDIR: (ErrorCode.UNSAFE_KEY, "{key!r} is a folder."),
    errno.ENAMETOOLONG: (ErrorCode.UNSAFE_KEY, "The name {key!r} is too long for the file system."),
    errno.ELOOP: (ErrorCode.UNSAFE_KEY, "{key!r} is a loop of symbolic links."),
    errno.EINVAL: (ErrorCode.UNSAFE_KEY, "The file system refuses the name {key!r}."),
    errno.EILSEQ: (ErrorCode.UNSAFE_KEY, "The file system refuses the name {key!r}."),
    errno.EACCES: (ErrorCode.ACCESS_DENIED, "The permissions of {key!r} refuse access."),
    errno.EPERM: (ErrorCode.ACCESS_DENIED, "The permissions of {key!r} refuse access."),
    errno.EROFS: (ErrorCode.ACCESS_DENIED, "{key!r} is on a read-only file system."),
}
"""errno -> (our code, message). Any other OSError is retryable."""
FULL = {errno.ENOSPC, errno.EDQUOT}
"""errno of a disk or quota that is full."""


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    """Turn OSErrors into our errors, by the table PERMANENT."""
    try:
        yield
    except UnicodeEncodeError:
        raise PermanentError(ErrorCode.UNSAFE_KEY, f"The name {key!a} is not Unicode.") from None
    except OSError as error:
        if error.errno in PERMANENT:
            code, sentence = PERMANENT[error.errno]
            raise PermanentError(code, sentence.format(key=key)) from error
        full = error.errno in FULL
        retryable = ErrorCode.STORAGE_FULL if full else ErrorCode.STORAGE_UNAVAILABLE
        raise RetryableError(retryable, f"{os.strerror(error.errno or 0)} at {key!r}.") from error


def _etag(status: os.stat_result) -> str:
    # ctime too: archives and `cp -p` may give new content an old mtime
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def _status(path: Path) -> os.stat_result:
    """Stat a regular file. Raises FileNotFoundError for any other: opening a pipe may block."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return status


def _chunks(key: str, file: BinaryIO) -> Iterator[bytes]:
    with _translated(key), file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class FileStore:
    """See `contract.storage.protocol.Store`."""

    def __init__(self, root: Path) -> None:
        self._root = resolve(root)

    @property
    def uri(self) -> str:
        return "file://" + quote(str(self._root))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for page in self.pages(prefix):
            yield from page.items

    def pages(self, prefix: str = "", after: str = "", size: int = 1000) -> Iterator[ListPage]:
        parent = prefix.rpartition("/")[0]
        folder = f"{parent}/" if parent else ""
        files = walk(str(self._root), folder, prefix, after, _is_public)
        try:
            while chunk := list(islice(files, size)):
                yield _page(chunk)
        except FileNotFoundError as error:
            if not folder:
                with _translated(str(self._root)):
                    raise error from None
        except OSError as error:
            with _translated(str(error.filename or self._root)):
                raise

    def head(self, key: str) -> ObjectHead | None:
        try:
            with _translated(key):
                status = _status(self._path(key))
        except PermanentError as error:
            if error.code is ErrorCode.OBJECT_MISSING:
                return None
            raise
        etag = _etag(status)
        return ObjectHead(status.st_size, etag, status.st_mtime, self._metadata(key, etag))

    def get(self, key: str, max_bytes: int | None = None) -> Blob:
        path = self._path(key)
        with _translated(key):
            _status(path)
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                if max_bytes is not None and before.st_size > max_bytes:
                    raise PermanentError(
                        ErrorCode.TOO_MANY_BYTES,
                        f"{before.st_size:,} bytes are over the limit of {max_bytes:,}.",
                    )
                data = file.read(before.st_size + 1)
                after = os.fstat(file.fileno())
        if _etag(before) != _etag(after) or len(data) != before.st_size:
            raise RetryableError(
                ErrorCode.STORAGE_UNAVAILABLE, f"{key!r} was written to while it was read."
            )
        return Blob(data, _etag(before))

    def stream(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        with _translated(key):
            _status(path)
            return _chunks(key, path.open("rb"))

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        content_type: str,  # noqa: ARG002 - a folder has no content types
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        path = self._path(key)
        with _translated(key):
            status = self._write(path, body)
            self._write_metadata(key, status, metadata)

    def put_unless_changed(
        self,
        key: str,
        data: bytes,
        content_type: str,  # noqa: ARG002 - a folder has no content types
        metadata: Mapping[str, str],
        etag: str,
    ) -> None:
        path = self._path(key)

        def check() -> None:
            head = self.head(key)
            if (head.etag if head else "") != etag:
                raise RetryableError(
                    ErrorCode.OBJECT_CHANGED, f"{key!r} was written by another process."
                )

        with _translated(key):
            status = self._write(path, data, check)
            self._write_metadata(key, status, metadata)

    def _write_metadata(
        self, key: str, status: os.stat_result, metadata: Mapping[str, str] | None
    ) -> None:
        if metadata:
            # After the object: if a crash separates the two, the metadata names another ETag,
            # and `head` ignores it.
            row = json.dumps({"etag": _etag(status), "metadata": dict(metadata)})
            self._write(self._metadata_path(key), row.encode())

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _translated(key):
            path.unlink(missing_ok=True)
            self._metadata_path(key).unlink(missing_ok=True)
        if is_reserved(key):
            self._remove_empty_folders(path.parent)

    def _remove_empty_folders(self, folder: Path) -> None:
        """Remove a folder of a batch, and its parents, if they are empty now."""
        while folder != self._root / RESERVED and folder.is_relative_to(self._root):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _path(self, key: str) -> Path:
        """Return the file's path, with links resolved.

        Raises PermanentError: `unsafe_key`, or `link_outside` if it is outside the root.
        """
        path = self._root / check_key(key)
        with _translated(key):
            resolved = Path(os.path.realpath(path))
        if not resolved.is_relative_to(self._root):
            raise PermanentError(
                ErrorCode.LINK_OUTSIDE, f"{key!r} is a link that leads out of the folder."
            )
        return resolved

    def _write(
        self, path: Path, body: bytes | BinaryIO, check: Callable[[], None] = lambda: None
    ) -> os.stat_result:
        return write_whole(self._path(SCRATCH), path, body, check)

    def _metadata_path(self, key: str) -> Path:
        # hashed, as a name with a suffix could exceed the file system's limit
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._path(f"{METADATA}/{digest[:2]}/{digest}.json")

    def _metadata(self, key: str, etag: str) -> dict[str, str]:
        """Return the metadata stored with exactly this content, or an empty dict."""
        try:
            row = json.loads(self._metadata_path(key).read_bytes())
        except (OSError, ValueError):
            return {}
        return row["metadata"] if isinstance(row, dict) and row.get("etag") == etag else {}


def _is_public(folder: str) -> bool:
    return folder not in PRIVATE


def _page(files: list[tuple[str, str]]) -> ListPage:
    """Return the page of some keys and paths."""
    items, linked_folders = [], []
    for key, path in files:
        if item := _info(key, path):
            items.append(item)
        elif os.path.isdir(path):  # noqa: PTH112 - `walk` enters all others
            linked_folders.append(key)
    return ListPage(items, files[-1][0], tuple(linked_folders))


def _info(key: str, path: str) -> ObjectInfo | None:
    """Return what a listing says of a file, or None if it is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - half the time of pathlib, for each file
    except OSError:
        # a broken link, or deleted since it was listed: `get` raises the right error
        return ObjectInfo(key, -1, "")
    if not stat.S_ISREG(status.st_mode):
        return None
    return ObjectInfo(key, status.st_size, _etag(status), status.st_mtime)
