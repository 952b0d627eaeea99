"""The rows of a manifest, and the objects that they name. Manifests may come from anybody."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from contract.storage import ObjectInfo

MAX_KEY_BYTES = 4096
"""Bytes of a file's path; longer ones exist on no system."""
MAX_S3_KEY_BYTES = 1024
"""Bytes of an object's key in S3."""
MAX_ETAG = 1024
"""Bytes of an ETag."""
MAX_SIZE = 1 << 53
MAX_SIZE_DIGITS = 16

Row = Mapping[str, Any]
"""Column -> value. Columns by their plain names, such as `key` and `lastmodified`."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """Why a row cannot be read, without a full stop."""

    reason: str


Rows = Iterator[tuple[int, Row | BadRow | None]]
"""(number of the line or row from 1, row; None: an empty line)"""


@dataclass
class RowReader:
    """Turns rows into objects of a source, and collects why the others cannot be read."""

    relative_key: Callable[[Row], str | None]
    """returns the key relative to the source; None if the row is of no object below it. Raises
    ValueError"""
    needs_modified: bool
    max_key_bytes: int = MAX_KEY_BYTES
    unreadable: list[str] = field(default_factory=list)
    """such as `line 7: not JSON`"""
    rows: int = 0
    """rows read so far, empty lines included"""
    readable: int = 0
    """rows that could be read so far"""

    def objects(self, rows: Iterable[tuple[int, Row | BadRow | None]]) -> list[ObjectInfo]:
        """Return the objects of some rows. Memory holds one of them, which may take 20 MB."""
        objects = []
        for number, row in rows:
            self.rows += 1
            if row is None:
                continue
            if isinstance(row, BadRow):
                self.unreadable.append(f"line {number:,}: {row.reason}")
                continue
            try:
                item = self._object(row)
            except (ValueError, OverflowError) as error:
                self.unreadable.append(f"line {number:,}: {error}")
            else:
                self.readable += 1
                if item:
                    objects.append(item)
        return objects

    def take_unreadable(self) -> tuple[str, ...]:
        """Return the rows collected since the last call."""
        rows, self.unreadable = tuple(self.unreadable), []
        return rows

    def _object(self, row: Row) -> ObjectInfo | None:
        if _is_true(row.get("isdeletemarker")) or _is_false(row.get("islatest")):
            return None
        key = self.relative_key(row)
        if key is None:
            return None
        if _byte_count(key) > self.max_key_bytes:
            raise ValueError(f"the key has more than {self.max_key_bytes:,} bytes")
        modified = _seconds(row.get("lastmodified"))
        if self.needs_modified and not modified:
            raise ValueError("no last_modified, which --since and --only-changed need")
        return ObjectInfo(key, _size(row.get("size")), _etag(row.get("etag")), modified)


def text_key(row: Row) -> str:
    """Return a row's key. Raises ValueError if it has none."""
    key = row.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError("no key")
    return key


def _byte_count(text: str) -> int:
    """Return the bytes of a text in UTF-8, which may have surrogates."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _is_false(value: object) -> bool:
    return value is False or (isinstance(value, str) and value.lower() == "false")


def _size(value: object) -> int:
    if value is None or value == "":
        return -1
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= MAX_SIZE_DIGITS
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SIZE:
        raise ValueError("the size is not a number of bytes")
    return value


def _etag(value: object) -> str:
    if value is None:
        return ""
    # surrogates are not printable
    if not isinstance(value, str) or not value.isprintable() or _byte_count(value) > MAX_ETAG:
        raise ValueError(f"the etag is not a text of at most {MAX_ETAG:,} bytes")
    return value.strip('"')


def _seconds(value: object) -> float:
    """Return Unix seconds of an ISO 8601 text (UTC unless it says otherwise), or of a number."""
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("last_modified is not a date as 2026-01-31T12:00:00Z") from None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError("last_modified is not a date as 2026-01-31T12:00:00Z")
    return float(value)
