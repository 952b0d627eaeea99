"""The verbs that look at batches and steer them. Every function here parses, calls and prints."""

import json
import sys
from typing import Annotated, Literal

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings
from producer.batches import control

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Destination = Annotated[str, typer.Argument(metavar="DST", help="Folder or s3://bucket/prefix.")]
BatchId = Annotated[str, typer.Argument(metavar="ID", help="A batch, as `submit` printed it.")]


def open_ledger() -> RedisLedger:
    """Connect to CUTOUT_REDIS_URL, and try little: a person waits."""
    config = settings()
    return RedisLedger(config.require_redis_url(), retries=2)


def _ledger_of(batch: str) -> RedisLedger:
    """Connect, for a batch. Raises PermanentError (`batch_conflict`) for a single image."""
    ledger = open_ledger()
    if ledger.batches.progress(batch).spec.cutout:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT,
            f"{batch} is a single image: GET /v1/cutouts/{batch} tells of it.",
        )
    return ledger


@app.command()
def status(
    batch: Annotated[str | None, typer.Argument(metavar="[ID]")] = None, as_json: AsJson = False
) -> None:
    """Show one batch, or all that Redis still knows, newest first."""
    from producer.batches.reports import as_json as row  # noqa: PLC0415

    ledger = open_ledger()
    rows = [ledger.batches.progress(i) for i in ([batch] if batch else ledger.batches.ids())]
    if as_json:
        found = [row(p) for p in rows]
        typer.echo(json.dumps(found[0] if batch else found, indent=2))
        return
    table = Table(box=SIMPLE)
    for column in ("batch", "state", "model"):
        table.add_column(column, no_wrap=True, min_width=5 if column != "batch" else 24)
    for column in ("total", "done", "skipped", "failed"):
        table.add_column(column, no_wrap=True, justify="right", min_width=len(column))
    for p in rows:
        counts = (p.spec.total, p.done, p.skipped, p.failed)
        table.add_row(p.spec.id, p.state, p.spec.recipe.model, *(f"{n:,}" for n in counts))
    Console().print(table)
    for p in rows:
        if p.stalled_reason:
            typer.echo(f"{p.spec.id}: {p.stalled_reason}")


@app.command()
def pause(batch: BatchId) -> None:
    """Stop handing out a batch. Images in hand are finished."""
    control.pause(_ledger_of(batch), batch)
    typer.echo(f"{batch} is paused. `cutout resume {batch}` carries on.")


@app.command()
def resume(batch: BatchId) -> None:
    """Carry on with a batch that was paused, or that paused itself."""
    control.resume(_ledger_of(batch), batch)
    typer.echo(f"{batch} goes on.")


@app.command()
def cancel(batch: BatchId) -> None:
    """End a batch: what has not been cut out yet fails by the code `cancelled`."""
    control.cancel(_ledger_of(batch), batch)
    typer.echo(f"{batch} is being cancelled. `cutout watch {batch}` shows its end.")


@app.command()
def retry(
    batch: BatchId,
    code: Annotated[
        ErrorCode | None,
        typer.Option("--code", metavar="CODE", help="Only failures of this code."),
    ] = None,
) -> None:
    """Open failed images of a batch again, finished or not, and print how many.

    Poisoned images only with [bold]--code poisoned[/bold].
    """
    opened = control.retry(_ledger_of(batch), batch, code)
    typer.echo(f"{opened:,} images are tried again.")
    if not opened and code is None:
        typer.echo(
            "What failed by unsafe_key or duplicate_destination cannot end otherwise; poisoned"
            " images are tried again by --code poisoned."
        )


@app.command()
def rebuild(batch: BatchId, destination: Destination) -> None:
    """Make a batch known again that Redis has lost, from what lies in its destination.

    Finished images are not run again.
    """
    ledger = open_ledger()
    ledger.ping()
    spec, settled = control.rebuild(ledger, batch, destination)
    typer.echo(
        f"{batch} goes on: {settled:,} of {spec.total:,} images are known to be settled. Others"
        " whose cut-out is there already are recognised on the way, and not run again."
    )


@app.command()
def watch(batch: BatchId, as_json: AsJson = False) -> None:
    """Follow a batch until it is closed. Exit status as of `run`; Ctrl-C only stops watching."""
    from producer.local.run import finish, follow  # noqa: PLC0415

    ledger = _ledger_of(batch)
    progress = follow(ledger, batch, as_json=as_json)
    raise typer.Exit(finish(ledger, progress, as_json=as_json))


@app.command()
def report(
    batch: BatchId,
    form: Annotated[
        Literal["csv", "jsonl"], typer.Option("--format", "-f", help="csv or jsonl.")
    ] = "csv",
) -> None:
    """Print how each image of a batch ended, so far or finally, while Redis knows it.

    That of a finished `run` lies in its destination: [bold]_cutout/ID/report.csv[/bold].
    """
    from producer.batches import reports  # noqa: PLC0415

    if settings().redis_url is None:
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            "CUTOUT_REDIS_URL is not set. The report of a finished `run` lies in its destination:"
            f" _cutout/{batch}/report.csv.",
        )
    ledger = _ledger_of(batch)
    rows = reports.current(ledger, ledger.batches.progress(batch).spec)
    {"csv": reports.write_csv, "jsonl": reports.write_jsonl}[form](rows, sys.stdout)
