"""`python -m producer.batches.parquet_process`: prints the rows of a Parquet file as JSON lines.

A process of its own, with limited memory: a few hundred bytes of Parquet can stand for gigabytes
(one long text, repeated by its dictionary), whatever sizes the file states, and pyarrow has no
limit of its own. Standard input is the file. The first line has the names of the columns; each
other one has some rows: for each column, the array of its values. If the file cannot be read, the
last line is a text: a sentence that says why.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from producer.batches.columns import COLUMNS, plain_name

MEMORY_BYTES = 128 << 20
"""Memory for a file, besides that of Python and pyarrow. Row groups may be larger: they are read
page by page."""
BATCH_ROWS = 1000
READ_BYTES = 1 << 20
"""Read at a time of each column."""
MAX_LINE = 1 << 20
"""Characters of a line, unless a single row has more."""
STATM_DATA = 5
"""Position of a process's data, in pages, in /proc/self/statm."""


def main() -> None:
    # no allocator that reserves memory ahead: the limit would count it
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    import pyarrow.parquet  # noqa: PLC0415 - after the variable is set

    _limit_memory()
    write = sys.stdout.write
    try:
        for line in _lines():
            write(f"{line}\n")
    except MemoryError:
        write(
            f'"The Parquet file needs more than {MEMORY_BYTES >> 20} MiB of memory: write it with'
            ' smaller row groups and pages."'
        )
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        write(f'"The Parquet file cannot be read ({type(error).__name__})."')


def _limit_memory() -> None:
    # macOS has neither such a file nor such a limit; a limit that is lower already stays
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[STATM_DATA])
        limit = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _lines() -> Iterator[str]:
    """Yield the names of the columns, and then the rows."""
    from pyarrow import parquet  # noqa: PLC0415

    with open(0, "rb", buffering=0, closefd=False) as file:
        table = parquet.ParquetFile(
            file, buffer_size=READ_BYTES, pre_buffer=False, coerce_int96_timestamp_unit="us"
        )
        columns = [name for name in table.schema_arrow.names if plain_name(name) in COLUMNS]
        names = [plain_name(name) for name in columns]
        if "key" not in names:
            yield '"The Parquet file has no column `key`."'
            return
        yield json.dumps(names)
        for batch in table.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
            yield from _encoded([_values(batch.column(name)) for name in columns])


def _encoded(columns: list[list[Any]]) -> Iterator[str]:
    """Yield rows, given by their columns, as lines of at most MAX_LINE or one row."""
    rows = len(columns[0])
    line = json.dumps(columns, default=_without_json, separators=(",", ":"))
    if len(line) <= MAX_LINE or rows == 1:
        yield line
        return
    del line
    half = rows // 2
    yield from _encoded([values[:half] for values in columns])
    yield from _encoded([values[half:] for values in columns])


def _values(column: Any) -> list[Any]:
    """Return a column's values; times as Unix seconds, those that stand for none (0) as None."""
    import pyarrow as pa  # noqa: PLC0415

    if not pa.types.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return values
    microseconds = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    return [value / 1e6 if value and value > 0 else None for value in microseconds.to_pylist()]


def _without_json(value: object) -> object:
    """Return what stands for a value that JSON lacks: a date's text, or what no column may have."""
    return value.isoformat() if hasattr(value, "isoformat") else []


if __name__ == "__main__":
    main()
