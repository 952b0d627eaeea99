"""Prints how a closed batch ended."""

import json
import sys
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from rich.console import Console
from rich.markup import escape

from contract import names
from contract.batch import Progress
from contract.errors import NEXT_STEP
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome
from contract.paths import as_typed
from producer.batches.report.rows import current, failures
from producer.batches.report.summary import batch_json
from producer.batches.selection import linked_folders_text, unreadable_text

EXIT_FAILED_IMAGES = 3
MAX_NAMED_FAILURES = 50
"""Failed images printed by name; the report holds all of them."""


def print_summary(ledger: RedisLedger, progress: Progress, *, as_json: bool) -> int:
    """Print the counts and the first failed images of a closed batch; return the exit status."""
    failed: list[Outcome] = []
    if progress.failed:
        failed = list(islice(failures(ledger, progress.spec), MAX_NAMED_FAILURES))
    if as_json:
        objects = [{"key": o.key, "code": o.code, "message": o.message} for o in failed]
        sys.stdout.write(json.dumps({**batch_json(progress), "failures": objects}) + "\n")
    else:
        _print_text(ledger, progress, failed)
    return EXIT_FAILED_IMAGES if progress.failed else 0


def _reviewed(ledger: RedisLedger, progress: Progress) -> int:
    """Return how many outputs lie below `_review/`."""
    rows = current(ledger, progress.spec)
    return sum(output.review is not None for row in rows for output in row.outputs)


def _print_text(ledger: RedisLedger, progress: Progress, failures: list[Outcome]) -> None:
    spec, console = progress.spec, Console(stderr=True)
    for outcome in failures:
        key, message = (escape(names.printable(text)) for text in (outcome.key, outcome.message))
        next_step = NEXT_STEP[outcome.code] if outcome.code else ""
        console.print(
            f"[red]failed[/] {key}: {outcome.code}: {message} {next_step}",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
    if progress.failed > len(failures):
        console.print(f"... and {progress.failed - len(failures):,} more, listed in the report.")
    console.print(
        f"{progress.done:,} done, {progress.skipped:,} skipped, {progress.failed:,} failed, "
        f"{spec.ignored:,} other files ignored."
    )
    if linked := linked_folders_text(spec.linked_folders):
        console.print(linked, soft_wrap=True, markup=False)
    if unreadable := unreadable_text(spec.unreadable, spec.unreadable_rows):
        console.print(unreadable, soft_wrap=True, markup=False)
    destination = _as_typed(spec.destination)
    report = f"{destination}/{names.report_key(spec.id, 'csv')}"
    console.print(f"Outputs: {destination}", soft_wrap=True, markup=False)
    if spec.recipe.policy.reviews and (count := _reviewed(ledger, progress)):
        folder = f"{destination}/{names.REVIEW}"
        console.print(f"Review:  {folder} ({count:,} to look at)", soft_wrap=True, markup=False)
    console.print(f"Report:  {report}", soft_wrap=True, markup=False)


def _as_typed(location: str) -> str:
    """Return a location as a user would type it: a folder as a path, relative if possible."""
    if not location.startswith("file://"):
        return location
    return as_typed(Path(unquote(location.removeprefix("file://"))))
