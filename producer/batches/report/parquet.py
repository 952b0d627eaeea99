"""The report as Parquet. Needs the optional dependency pyarrow."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from pydantic import BaseModel

from contract.outcome import Outcome
from producer.batches.arrow import require_pyarrow
from producer.batches.report.formats import STAGES

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 5000
"""Rows written at a time. The writer keeps 60 KB for each row group until its end."""
CHUNK = 500
"""Rows turned into columns at a time, as 1,000 outcomes take 6 MB."""


def write_parquet(rows: Iterable[Outcome], out: BinaryIO) -> int:
    """Write one row per image; return the number of images.

    The columns are those of the CSV and what the attempt used. Keys and messages are not escaped
    for spreadsheets; `outputs` and `failed_renditions` are lists of objects. Raises PermanentError
    (`extra_missing`).
    """
    require_pyarrow()
    import pyarrow as pa  # noqa: PLC0415 - optional
    from pyarrow import parquet  # noqa: PLC0415

    output = pa.struct(
        [
            ("name", pa.string()), ("key", pa.string()), ("width", pa.int32()),
            ("height", pa.int32()), ("bytes", pa.int64()), ("preset", pa.string()),
            ("review", pa.string()),
        ]
    )  # fmt: skip
    failed = pa.struct([("name", pa.string()), ("code", pa.string()), ("message", pa.string())])
    schema = pa.schema(
        [
            ("line", pa.int64()), ("key", pa.string()), ("status", pa.string()),
            ("code", pa.string()), ("message", pa.string()), ("attempts", pa.int32()),
            ("worker", pa.string()),
            *((f"{stage}_ms", pa.int32()) for stage in STAGES),
            ("width", pa.int32()), ("height", pa.int32()), ("foreground", pa.float64()),
            ("doubts", pa.list_(pa.string())), ("matte_from", pa.string()),
            ("outputs", pa.list_(output)), ("failed_renditions", pa.list_(failed)),
            ("cpu_ms", pa.int64()), ("s3_requests", pa.int64()),
            ("bytes_read", pa.int64()), ("bytes_written", pa.int64()),
        ]
    )  # fmt: skip
    # pyarrow's own allocator keeps what was freed
    pa.set_memory_pool(pa.system_memory_pool())
    remaining, count = iter(rows), 0
    with parquet.ParquetWriter(
        out, schema, compression="zstd", use_dictionary=["status", "code", "worker", "matte_from"]
    ) as writer:
        while group := list(_batches(islice(remaining, ROW_GROUP), schema)):
            table = pa.Table.from_batches(group)
            writer.write_table(table)
            count += table.num_rows
    return count


def _batches(rows: Iterator[Outcome], schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    """Yield the rows by columns, a chunk at a time."""
    import pyarrow as pa  # noqa: PLC0415 - optional

    while chunk := list(islice(rows, CHUNK)):
        columns = [
            pa.array([_value(outcome, field.name) for outcome in chunk], field.type)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _value(outcome: Outcome, column: str) -> object:
    stage = column.removesuffix("_ms")
    if stage in STAGES:
        return outcome.milliseconds.get(stage)
    value = getattr(outcome, column)
    if not isinstance(value, list):
        return value
    return [item.model_dump() if isinstance(item, BaseModel) else item for item in value]
