"""The verbs of batches: watch one, steer it, print its report."""

import json
import sys
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from contract.batch import Progress
from contract.errors import IMAGE_CODES, ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.schedule import utc_text
from contract.settings import settings
from producer.batches import control
from producer.batches.left_out import LeftOut
from producer.batches.missing_dispatcher import NO_DISPATCHER, with_missing_dispatcher
from producer.batches.report import formats
from producer.batches.report.parquet import write_parquet
from producer.batches.report.rows import current
from producer.batches.report.summary import batch_json
from producer.batches.usage import usage
from producer.cli.batch_summary import print_batch_summary
from producer.cli.options import (
    AsJson,
    BatchId,
    PricePerCoreHour,
    enable_ctrl_c,
    open_ledger,
    open_ledger_of,
)

app = typer.Typer()


@app.command()
def status(
    batch: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A batch ID (default: all batches).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the progress of one batch, or of all batches in Redis, newest first.

    Batches that a newer release registered are not in the list; a line on standard error names
    them.
    """
    ledger = open_ledger()
    batches, left_out = ledger.batches, LeftOut()
    found = [batches.progress(batch)] if batch else batches.progress_of(batches.ids(), left_out)
    rows = with_missing_dispatcher(ledger, found)
    if left_out.notice:
        typer.echo(left_out.notice, err=True)
    if as_json:
        objects = [batch_json(progress) for progress in rows]
        typer.echo(json.dumps(objects[0] if batch else objects, indent=2))
        return
    Console().print(_table(rows))
    for progress in rows:
        for note in filter(None, (progress.stalled_reason, _expected_end(progress))):
            typer.echo(f"{progress.spec.id}: {note}")


def _expected_end(progress: Progress) -> str:
    """Return a sentence about when a batch is expected to end, or ""."""
    if progress.expected_end is None:
        return ""
    end, deadline = utc_text(progress.expected_end), progress.spec.schedule.deadline
    if not (progress.late and deadline):
        return f"Expected to end at {end}."
    return (
        f"Expected to end at {end}, after its deadline at {utc_text(deadline.timestamp())}:"
        " start more workers, or run other batches later."
    )


def _table(rows: list[Progress]) -> Table:
    """Return a table in which, on a narrow terminal, only the names of models are folded."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("batch", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("model", overflow="fold")
    for column in ("total", "done", "skipped", "failed"):
        table.add_column(column, no_wrap=True, justify="right")
    for progress in rows:
        spec = progress.spec
        counts = (spec.total, progress.done, progress.skipped, progress.failed)
        table.add_row(
            spec.id, progress.state, spec.recipe.model, *(f"{count:,}" for count in counts)
        )
    return table


@app.command()
def watch(batch: BatchId, as_json: AsJson = False) -> None:
    """Show a batch's progress until it is closed, then its result. Ctrl-C only stops watching.

    Also waits while the batch is paused.

    Exit status: 0 all images done or skipped; 3 some images failed (each is named); 1 error;
    130 interrupted.
    """
    from producer.local.following import follow  # noqa: PLC0415
    from producer.local.summary import print_summary  # noqa: PLC0415

    enable_ctrl_c()
    ledger = open_ledger_of(batch)
    progress = follow(ledger, batch, as_json=as_json)
    raise typer.Exit(print_summary(ledger, progress, as_json=as_json))


def _print_missing_dispatcher(ledger: RedisLedger) -> None:
    if not ledger.has_dispatcher():
        typer.echo(NO_DISPATCHER)


@app.command()
def pause(batch: BatchId) -> None:
    """Start no further images of a batch. Images being processed are finished.

    A batch also pauses itself while nearly all its images fail for want of storage, network or
    credentials, and continues by itself if that may pass. After this command, only
    `cutout resume` continues it.
    """
    control.pause(open_ledger_of(batch), batch)
    typer.echo(f"{batch} is paused. `cutout resume {batch}` continues it.")


@app.command()
def resume(batch: BatchId) -> None:
    """Continue a paused batch, whether you paused it or it paused itself."""
    ledger = open_ledger_of(batch)
    control.resume(ledger, batch)
    typer.echo(f"{batch} continues.")
    _print_missing_dispatcher(ledger)


@app.command()
def cancel(batch: BatchId) -> None:
    """End a batch early: images being processed are finished, all others fail as `cancelled`.

    `cutout retry` would process those again.
    """
    ledger = open_ledger_of(batch)
    control.cancel(ledger, batch)
    typer.echo(f"{batch} is being cancelled. `cutout watch {batch}` shows when it is closed.")
    _print_missing_dispatcher(ledger)


def _image_code(text: str) -> ErrorCode:
    if text in IMAGE_CODES:
        return ErrorCode(text)
    raise typer.BadParameter(
        f"no image fails with {text!r}, but with one of {', '.join(sorted(IMAGE_CODES))}"
    )


@app.command()
def retry(
    batch: BatchId,
    code: Annotated[
        ErrorCode | None,
        typer.Option(
            "--code",
            metavar="CODE",
            help="Retry only images that failed with CODE, as the report names it.",
            parser=_image_code,
        ),
    ] = None,
) -> None:
    """Retry the failed images of a batch, open or closed, and print how many are retried.

    Also those that were cancelled. Poisoned images (they crashed their worker process three times)
    are retried only with `--code poisoned`; those that failed with `unsafe_key` or
    `duplicate_destination` never are, as they would fail again.
    """
    ledger = open_ledger_of(batch)
    reopened = control.retry(ledger, batch, code)
    typer.echo(f"{reopened:,} images will be retried.")
    if reopened:
        _print_missing_dispatcher(ledger)
    if not reopened and code is None:
        typer.echo(
            "Images that failed with unsafe_key or duplicate_destination would fail again. Poisoned"
            " images are retried with --code poisoned."
        )


ReportFormat = Annotated[
    Literal["csv", "jsonl", "parquet"],
    typer.Option(
        "--format",
        "-f",
        help="csv: a table; jsonl: one JSON object per line; parquet: needs"
        " `cutout-queue[parquet]`.",
    ),
]
Summary = Annotated[
    bool,
    typer.Option(
        "--summary", help="Print sums instead: CPU time, S3 requests, bytes read and written."
    ),
]
SummaryAsJson = Annotated[
    bool, typer.Option("--json", help="With --summary: print it as JSON instead of text.")
]


@app.command()
def report(
    batch: BatchId,
    report_format: ReportFormat = "csv",
    summary: Summary = False,
    as_json: SummaryAsJson = False,
    price_per_core_hour: PricePerCoreHour = None,
) -> None:
    """Print the outcome of each image of a batch in Redis, open or closed, or a summary of them.

    Closed batches also have their report in the destination: `_cutout/ID/report.csv`. Parquet is
    binary, so redirect it: `cutout report ID --format parquet > report.parquet`.
    """
    if not summary and (as_json or price_per_core_hour is not None):
        raise typer.BadParameter("--json and --price-per-core-hour need --summary.")
    if report_format == "parquet" and not summary and sys.stdout.isatty():
        raise typer.BadParameter(
            f"Parquet is binary: write `cutout report {batch} --format parquet > report.parquet`",
            param_hint="--format",
        )
    if settings().redis_url is None:
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            "CUTOUT_REDIS_URL is not set. The report of a finished `cutout run` is in its"
            f" destination: _cutout/{batch}/report.csv.",
        )
    ledger = open_ledger_of(batch)
    progress = ledger.batches.progress(batch)
    outcomes = current(ledger, progress.spec)
    if summary:
        print_batch_summary(progress, usage(outcomes), price_per_core_hour, as_json=as_json)
        return
    match report_format:
        case "csv":
            formats.write_csv(outcomes, sys.stdout)
        case "jsonl":
            formats.write_jsonl(outcomes, sys.stdout)
        case "parquet":
            write_parquet(outcomes, sys.stdout.buffer)
