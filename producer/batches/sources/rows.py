"""Reads the rows of a manifest: CSV, JSON lines or Parquet. Manifests may come from anybody."""

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO

from contract.storage import ObjectInfo
from producer.batches.collisions import MAX_KEY
from producer.batches.sources.files import BadManifestError, import_pyarrow

MAX_LINE_BYTES = 1 << 20
MAX_RECORD_LINES = 100
"""Lines of a CSV record; a quoted text with more of them counts as a quote that is not closed."""
OPEN_QUOTE = "a quote is not closed"
MAX_ETAG = 1024
"""Characters of an ETag, see `ManifestLine`."""
MAX_SIZE = 1 << 53
MAX_SIZE_DIGITS = 16
ALIASES = {"lastmodifieddate": "lastmodified", "modified": "lastmodified", "path": "key"}
"""Other names of columns, in small letters and without `_`, as users and S3 Inventory have them."""

Row = Mapping[str, Any]
"""Column -> value. Columns by their plain names, such as `key` and `lastmodified`."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """Why a row cannot be read, without a full stop."""

    reason: str


Rows = Iterator[tuple[int, Row | BadRow]]
"""(number of the line or row from 1, row)"""


def read_rows(file: BinaryIO, schema: list[str] | None = None) -> Rows:
    """Yield the rows of a file, whatever its format.

    `schema`: the columns of a CSV file without a header. Raises BadManifestError if no row can be
    read.
    """
    start = _peek(file)
    if start.startswith(b"PAR1"):
        return _parquet_rows(file)
    if start.removeprefix(BOM_UTF8).lstrip().startswith(b"{"):
        return _json_rows(file)
    return _csv_rows(file, schema)


def _peek(file: BinaryIO) -> bytes:
    start = file.read(256)
    file.seek(0)
    return start


def plain_name(column: str) -> str:
    """Return a column's name in small letters, without `_` and spaces, by ALIASES."""
    name = column.strip().lower().replace("_", "")
    return ALIASES.get(name, name)


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines. Bytes that are not Unicode are kept as surrogates, as in names of files."""
    while line := file.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES:
            raise BadManifestError(f"A line has more than {MAX_LINE_BYTES:,} bytes.")
        yield line.decode(errors="surrogateescape").removeprefix("\ufeff")


class _Records:
    """The records of a CSV file. A quote that is not closed costs its own line only."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.line = 0
        """number of the line at which the latest record begins"""
        self._lines = lines
        self._taken: list[str] = []
        """the lines of the latest record"""
        self._again: list[str] = []
        """lines to read again, the last one first"""
        self._reader = csv.reader(iter(self._next_line, None))

    def next(self) -> list[str] | BadRow | None:
        """Return the next record; None at the end."""
        self.line += len(self._taken) or 1
        self._taken.clear()
        try:
            record: list[str] | BadRow | None = next(self._reader, None)
        except csv.Error as error:
            record = BadRow(str(error))
        if len(self._taken) > 1 and not _is_well_quoted(self._taken):
            self._again += self._taken[:0:-1]
            del self._taken[1:]
            return BadRow(OPEN_QUOTE)
        return record

    def _next_line(self) -> str | None:
        line = self._again.pop() if self._again else next(self._lines, None)
        if self._taken and (line is None or len(self._taken) == MAX_RECORD_LINES):
            if line is not None:
                self._again.append(line)
            raise csv.Error(OPEN_QUOTE)
        if line is not None:
            self._taken.append(line)
        return line


def _is_well_quoted(record: list[str]) -> bool:
    """Return whether a record's lines have no text behind a closed quote, and no open one."""
    try:
        list(csv.reader(record, strict=True))
    except csv.Error:
        return False
    return True


def _csv_rows(file: BinaryIO, schema: list[str] | None) -> Rows:
    records = _Records(_lines(file))
    if schema is None:
        header = _header(records)
        schema = [plain_name(column) for column in header]
        if header and "key" not in schema:
            if len(header) != 1:
                raise BadManifestError("The header names no column `key`.")
            schema = ["key"]  # a plain list of keys
            yield records.line, {"key": header[0]}
    while (record := records.next()) is not None:
        if isinstance(record, BadRow):
            yield records.line, record
        elif len(record) == len(schema):
            yield records.line, dict(zip(schema, record, strict=True))
        elif record:
            reason = f"{len(record)} fields instead of {len(schema)}"
            yield records.line, BadRow(reason)


def _header(records: _Records) -> list[str]:
    """Return the first record that is not an empty line; empty if there is none."""
    while (record := records.next()) is not None:
        if isinstance(record, BadRow):
            raise BadManifestError(f"Line {records.line}: {record.reason}.")
        if record:
            return record
    return []


def _json_rows(file: BinaryIO) -> Rows:
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            yield number, BadRow("not JSON")
        else:
            if isinstance(row, dict):
                yield number, {plain_name(name): value for name, value in row.items()}
            else:
                yield number, BadRow("not a JSON object")


def _parquet_rows(file: BinaryIO) -> Rows:
    pyarrow = import_pyarrow("A Parquet manifest")
    try:
        table = pyarrow.parquet.ParquetFile(file)
        wanted = {"key", "size", "etag", "lastmodified", "bucket", "islatest", "isdeletemarker"}
        columns = [name for name in table.schema_arrow.names if plain_name(name) in wanted]
        names = [plain_name(name) for name in columns]
        if "key" not in names:
            raise BadManifestError("The Parquet file has no column `key`.")
        batches = table.iter_batches(batch_size=1000, columns=columns)
        for number, row in enumerate(_tuples(batches, columns), 1):
            yield number, dict(zip(names, row, strict=True))
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        name = type(error).__name__
        raise BadManifestError(f"The Parquet file cannot be read ({name}).") from None


def _tuples(batches: Iterable[Any], columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of Parquet record batches."""
    for batch in batches:
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


@dataclass
class RowReader:
    """Turns rows into objects of a source, and collects why the others cannot be read."""

    relative_key: Callable[[Row], str | None]
    """returns the key relative to the source; None if the row is of no object below it. Raises
    ValueError"""
    needs_modified: bool
    unreadable: list[str] = field(default_factory=list)
    """such as `line 7: not JSON`"""
    rows: int = 0
    """rows read so far"""

    def objects(self, rows: Iterable[tuple[int, Row | BadRow]]) -> list[ObjectInfo]:
        """Return the objects of some rows. Memory holds one of them, which may take 20 MB."""
        objects = []
        for number, row in rows:
            self.rows += 1
            if isinstance(row, BadRow):
                self.unreadable.append(f"line {number:,}: {row.reason}")
                continue
            try:
                item = self._object(row)
            except (ValueError, OverflowError) as error:
                self.unreadable.append(f"line {number:,}: {error}")
            else:
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
        if len(key) > MAX_KEY:
            raise ValueError(f"the key has more than {MAX_KEY:,} characters")
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
    if not isinstance(value, str) or len(value) > MAX_ETAG or not value.isprintable():
        raise ValueError("the etag is not a text of at most 1,024 characters")
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
