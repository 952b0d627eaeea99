"""The report as Parquet. Needs the optional dependency pyarrow."""

from collections.abc import Iterable
from itertools import islice
from typing import BinaryIO

from pydantic import BaseModel

from contract.outcome import Outcome
from producer.batches.arrow import require_pyarrow
from producer.batches.report.formats import STAGES

ROW_GROUP = 5000
"""Rows written at a time. More would need 4 MB for each 1,000."""


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
    remaining, count = iter(rows), 0
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        while group := list(islice(remaining, ROW_GROUP)):
            count += len(group)
            columns = [[_value(outcome, name) for outcome in group] for name in schema.names]
            writer.write_table(
                pa.Table.from_arrays(
                    [
                        pa.array(column, field.type)
                        for column, field in zip(columns, schema, strict=True)
                    ],
                    schema=schema,
                )
            )
    return count


def _value(outcome: Outcome, column: str) -> object:
    stage = column.removesuffix("_ms")
    if stage in STAGES:
        return outcome.milliseconds.get(stage)
    value = getattr(outcome, column)
    if not isinstance(value, list):
        return value
    return [item.model_dump() if isinstance(item, BaseModel) else item for item in value]
