"""Reads a manifest's rows in whatever format: CSV, a plain list, JSON lines or Parquet."""

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import BinaryIO

from producer.batches.columns import plain_name
from producer.batches.sources.files import PARQUET, BadManifestError, peek
from producer.batches.sources.parquet import parquet_rows
from producer.batches.sources.rows import BadRow, Rows

MAX_LINE_BYTES = 1 << 20
MAX_RECORD_LINES = 100
"""Lines of a CSV record; a quoted text with more of them counts as a quote that is not closed."""
MAX_RECORD_CHARACTERS = 1 << 20
"""Characters of a CSV record of several lines; one with more counts as such, too."""
MAX_LEADING_LINES = 1000
"""Empty lines before the header."""
OPEN_QUOTE = "a quote is not closed"


def read_rows(file: BinaryIO, schema: list[str] | None = None) -> Rows:
    """Yield the rows of a file, whatever its format.

    `schema`: the columns of a CSV file without a header. Raises BadManifestError if no row can be
    read.
    """
    start = peek(file)
    if start.startswith(PARQUET):
        return parquet_rows(file)
    if start.removeprefix(BOM_UTF8).lstrip().startswith(b"{"):
        return _json_rows(file)
    return _csv_rows(file, schema)


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines. Bytes that are not Unicode are kept as surrogates, as in names of files."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES:
            raise BadManifestError(f"Line {number:,} has more than {MAX_LINE_BYTES:,} bytes.")
        yield line.decode(errors="surrogateescape").removeprefix("\ufeff")


class _Records:
    """The records of a CSV file. A quote that is not closed costs its own line only."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.line = 0
        """number of the line at which the latest record begins"""
        self._lines = lines
        self._taken: list[str] = []
        """the lines of the latest record"""
        self._characters = 0
        """of these lines"""
        self._again: list[str] = []
        """lines to read again, the last one first"""
        self._reader = csv.reader(iter(self._next_line, None))

    def next(self) -> list[str] | BadRow | None:
        """Return the next record; None at the end."""
        self.line += len(self._taken) or 1
        self._taken.clear()
        self._characters = 0
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
        if self._taken and (line is None or self._is_full(line)):
            if line is not None:
                self._again.append(line)
            raise csv.Error(OPEN_QUOTE)
        if line is not None:
            self._taken.append(line)
            self._characters += len(line)
        return line

    def _is_full(self, line: str) -> bool:
        """Return whether a record that goes on with this line is too long."""
        characters = self._characters + len(line)
        return len(self._taken) == MAX_RECORD_LINES or characters > MAX_RECORD_CHARACTERS


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
        else:
            yield records.line, None


def _header(records: _Records) -> list[str]:
    """Return the first record that is not an empty line; empty if there is none."""
    while (record := records.next()) is not None:
        if isinstance(record, BadRow):
            raise BadManifestError(f"Line {records.line}: {record.reason}.")
        if record:
            return record
        if records.line > MAX_LEADING_LINES:
            raise BadManifestError(f"The first {MAX_LEADING_LINES:,} lines are empty.")
    return []


def _json_rows(file: BinaryIO) -> Rows:
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            yield number, None
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
