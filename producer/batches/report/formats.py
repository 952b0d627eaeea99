"""The forms of a report: CSV and JSONL, one row per image."""

import csv
from collections.abc import Iterable, Iterator
from typing import TextIO

from contract import names
from contract.outcome import Outcome, Output

STAGES = ("check", "fetch", "wait", "decode", "matte", "encode", "store")
COLUMNS = (
    "line", "key", "status", "code", "message", "attempts", "worker",
    *(f"{stage}_ms" for stage in STAGES),
    "width", "height", "foreground", "doubts", "outputs", "failed_renditions",
    "verified", "review", "matte_from",
)  # fmt: skip


def write_csv(rows: Iterable[Outcome], out: TextIO) -> int:
    """Write a header and one row per image as CSV; return the number of images."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    count = 0
    for outcome in rows:
        count += 1
        stages = [outcome.milliseconds.get(stage, "") for stage in STAGES]
        written = ";".join(output.key for output in outcome.outputs)
        missing = ";".join(f"{failed.name}:{failed.code}" for failed in outcome.failed_renditions)
        texts = (outcome.key, outcome.message, written, missing)
        key, message, outputs, failed_renditions = map(names.cell, texts)
        table.writerow(
            [outcome.line, key, outcome.status, outcome.code or "", message, outcome.attempts,
             outcome.worker, *stages, outcome.width, outcome.height, outcome.foreground,
             ";".join(outcome.doubts), outputs, failed_renditions,
             ";".join(filter(None, (o.preset for o in outcome.outputs))),
             ";".join(_review(o) for o in outcome.outputs if o.review), outcome.matte_from]
        )  # fmt: skip
    return count


def _review(output: Output) -> str:
    return f"{output.name}:{output.review}" if output.name else str(output.review)


def write_jsonl(rows: Iterable[Outcome], out: TextIO) -> int:
    """Write one JSON object per line and image; return the number of images."""
    return sum(1 for _ in copy_jsonl(rows, out))


def copy_jsonl(rows: Iterable[Outcome], out: TextIO) -> Iterator[Outcome]:
    """Yield the rows, and write each as a line of JSON."""
    for outcome in rows:
        out.write(outcome.model_dump_json() + "\n")
        yield outcome
