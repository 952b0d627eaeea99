"""The report of a batch: one row per image, even if an image's outcome was recorded repeatedly.

Outcome rows go from Redis to segments in object storage (`drain`); the report is written from these
segments once all images are settled. Everything is streamed, so a batch may have any size.
"""

import csv
import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TextIO

from contract import names
from contract.batch import BatchSpec, Progress
from contract.ledger import Ledger
from contract.line_bits import has_bit, lines_without_bit, no_bits, set_bit
from contract.outcome import Outcome, Status
from contract.storage import Store, open_store
from contract.storage.batch_files import outcomes
from producer.batches.collisions import refused

STAGES = ("check", "fetch", "wait", "decode", "matte", "encode", "store")
COLUMNS = (
    "line", "key", "status", "code", "message", "attempts",
    *(f"{stage}_ms" for stage in STAGES),
    "width", "height", "foreground", "outputs",
)  # fmt: skip
MAX_DRAINED_ROWS = 10_000
"""Outcome rows in one segment."""


def drain(ledger: Ledger, spec: BatchSpec) -> bool:
    """Move the oldest outcome rows from Redis into a segment; return True if there were any.

    The segment is written before the rows are deleted. A crash in between repeats rows; the report
    counts them once.
    """
    rows = ledger.lines.outcomes(spec.id, MAX_DRAINED_ROWS)
    if not rows:
        return False
    _write_segment(spec, rows)
    ledger.lines.drop_outcomes(spec.id, rows[-1][0])
    return True


def _write_segment(spec: BatchSpec, rows: list[tuple[str, str]]) -> None:
    """Store outcome rows, as (row ID, outcome as JSON)."""
    body = "".join(f"{row}\n" for _, row in rows).encode()
    key = names.outcomes_key(spec.id, rows[0][0], rows[-1][0])
    open_store(spec.destination).put(key, body, "application/x-ndjson")


def restore_refused(spec: BatchSpec, seen: bytearray) -> Iterator[Outcome]:
    """Store and yield the outcomes of lines that registration refused and that have no row.

    `seen`: the bits of the lines with a row. No worker may process a refused line: it could replace
    the output of another.
    """
    lost = (outcome for outcome in refused(spec) if not has_bit(seen, outcome.line))
    while chunk := list(islice(lost, MAX_DRAINED_ROWS)):
        now = int(time.time() * 1000)
        _write_segment(spec, [(f"{now}-{x.line}", x.model_dump_json()) for x in chunk])
        yield from chunk


def current(ledger: Ledger, spec: BatchSpec) -> Iterator[Outcome]:
    """Yield the present outcomes of an open or closed batch, one per settled line.

    A line that a retry reopened has none until it is settled again.
    """
    settled = ledger.batches.settled_bits(spec.id)
    # before the segments: a row that is drained meanwhile is then read twice instead of never
    undrained = [row for _, row in ledger.lines.outcomes(spec.id, 10 * MAX_DRAINED_ROWS)]
    for outcome in outcomes(open_store(spec.destination), spec, undrained):
        if has_bit(settled, outcome.line):
            yield outcome


def failures(ledger: Ledger, spec: BatchSpec) -> Iterator[Outcome]:
    """Yield the present outcomes of failed lines."""
    return (row for row in current(ledger, spec) if row.status is Status.FAILED)


def _cell(text: str) -> str:
    """Return text that neither a terminal nor a spreadsheet executes."""
    plain = names.printable(text)
    return f"'{plain}" if plain.startswith(("=", "+", "-", "@")) else plain


def write_csv(rows: Iterable[Outcome], out: TextIO) -> int:
    """Write a header and one row per image as CSV; return the number of images."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    count = 0
    for outcome in rows:
        count += 1
        stages = [outcome.milliseconds.get(stage, "") for stage in STAGES]
        texts = (outcome.key, outcome.message, ";".join(outcome.outputs))
        key, message, outputs = map(_cell, texts)
        table.writerow(
            [outcome.line, key, outcome.status, outcome.code or "", message, outcome.attempts,
             *stages, outcome.width, outcome.height, outcome.foreground, outputs]
        )  # fmt: skip
    return count


def write_jsonl(rows: Iterable[Outcome], out: TextIO) -> int:
    """Write one JSON object per line and image; return the number of images."""
    return sum(1 for _ in _copy_jsonl(rows, out))


def _copy_jsonl(rows: Iterable[Outcome], out: TextIO) -> Iterator[Outcome]:
    """Yield the rows, and write each as a line of JSON."""
    for outcome in rows:
        out.write(outcome.model_dump_json() + "\n")
        yield outcome


class Tally:
    """Which lines of a batch have a row in its report, and how many by status."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.seen = no_bits(total)
        self.counts = dict.fromkeys(Status, 0)

    def watch(self, rows: Iterable[Outcome]) -> Iterator[Outcome]:
        """Yield the rows (each line once) and count them."""
        for row in rows:
            set_bit(self.seen, row.line)
            self.counts[row.status] += 1
            yield row

    @property
    def missing_count(self) -> int:
        return self._total - sum(self.counts.values())

    @property
    def complete(self) -> bool:
        return self.missing_count == 0

    def missing(self) -> Iterator[int]:
        """Yield the lines without a row."""
        return lines_without_bit(self.seen, self._total)


def write(progress: Progress, store: Store) -> Tally:
    """Write a settled batch's report (CSV and JSONL) and its summary beside the outputs.

    Writes nothing if a line has no row; the returned tally says which.
    """
    spec = progress.spec
    tally = Tally(spec.total)
    with _text_file() as table, _text_file() as lines:
        write_csv(_copy_jsonl(tally.watch(outcomes(store, spec)), lines), table)
        if not tally.complete:
            return tally
        for suffix, file, content_type in (
            ("csv", table, "text/csv; charset=utf-8"),
            ("jsonl", lines, "application/x-ndjson"),
        ):
            file.seek(0)
            store.put(names.report_key(spec.id, suffix), file.buffer, content_type)
    summary = json.dumps(as_json(progress), indent=2).encode()
    store.put(names.summary_key(spec.id), summary, "application/json")
    return tally


def _text_file() -> TextIO:
    return tempfile.TemporaryFile("w+", encoding="utf-8", newline="")


def as_json(progress: Progress) -> dict[str, object]:
    """Return a batch's state as the JSON object of `cutout status --json` and summary.json."""
    spec = progress.spec
    return {
        "batch": spec.id,
        "state": progress.state,
        "source": spec.source,
        "destination": spec.destination,
        "model": spec.recipe.model,
        "total": spec.total,
        "done": progress.done,
        "skipped": progress.skipped,
        "failed": progress.failed,
        "ignored": spec.ignored,
        "issued": progress.issued,
        "duplicates": progress.duplicates,
        "stalled_reason": progress.stalled_reason,
        "schedule": spec.schedule.model_dump(mode="json"),
        "eta": None if progress.closed else progress.eta,
        "late": progress.late,
        "created": spec.created,
        "closed": progress.closed,
    }
