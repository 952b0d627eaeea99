"""The report's files in the destination: one row per image, as CSV and JSONL, and a summary.

They are written once all images are settled. Everything is streamed, so a batch may have any size.
"""

import gzip
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO

from contract import names
from contract.batch import Progress
from contract.outcome import Outcome
from contract.storage import Store
from contract.storage.json_lines import LEVEL
from producer.batches.report.formats import copy_jsonl, write_csv
from producer.batches.report.summary import write_summary
from producer.batches.report.tally import Tally


def write(
    progress: Progress, outcomes: Iterable[Outcome], store: Store, check: Callable[[], None]
) -> Tally:
    """Write a settled batch's report and its summary beside the outputs.

    `outcomes`: the present ones, each line once. `check` is called for each row and before each
    file, and may raise to stop. Nothing is written if a line has no row; the returned tally says
    which.
    """
    batch, tally = progress.spec.id, Tally(progress.spec.total)
    with tempfile.TemporaryFile() as table, tempfile.TemporaryFile() as lines:
        with _as_text(table) as csv_text, _as_gzip(lines) as jsonl_text:
            rows = tally.watch(_checked(outcomes, check))
            write_csv(copy_jsonl(rows, jsonl_text), csv_text)
        if not tally.complete:
            return tally
        for suffix, file, content_type in (
            ("csv", table, "text/csv; charset=utf-8"),
            ("jsonl.gz", lines, "application/gzip"),
        ):
            file.seek(0)
            check()
            store.put(names.report_key(batch, suffix), file, content_type)
    check()
    write_summary(progress, store)
    return tally


def _checked(rows: Iterable[Outcome], check: Callable[[], None]) -> Iterator[Outcome]:
    for row in rows:
        check()
        yield row


@contextmanager
def _as_text(file: BinaryIO) -> Iterator[TextIO]:
    """Write text to a file and leave it open."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    yield text
    text.flush()
    text.detach()


@contextmanager
def _as_gzip(file: BinaryIO) -> Iterator[TextIO]:
    """Write text to a file, compressed, and leave it open."""
    with (
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0) as compressed,
        io.TextIOWrapper(compressed, encoding="utf-8", newline="") as text,
    ):
        yield text
