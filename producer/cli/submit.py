"""`cutout submit`: registers a batch, or shows what it would be."""

import json
from datetime import datetime
from typing import Annotated

import typer

from contract import log
from contract.batch import BatchSpec, Selection
from contract.ledger.redis_ledger import RedisLedger
from contract.safe_http.policy import check_url
from contract.schedule import IMMEDIATELY
from contract.settings import settings
from producer.cli.options import (
    AsJson,
    Decontaminate,
    Destination,
    Force,
    ModelName,
    Passes,
    PresetNames,
    RecipeName,
    RecipeOptions,
    Refine,
    Source,
    open_ledger,
    require_unicode,
)
from producer.cli.schedule import Cap, Deadline, NotBefore, Priority, ScheduleOptions, Weight
from producer.cli.times import duration_text

app = typer.Typer()


def parse_since(text: str) -> float:
    """Return Unix seconds of a date or time, in this machine's time zone unless it says another."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not a date as 2026-01-31 or 2026-01-31T18:00Z."
        ) from None


Manifest = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="Process only the photographs that FILE lists: CSV, JSON lines or Parquet with a"
        " column `key` (also `size`, `etag`, `last_modified`), a plain list of keys, or the"
        " manifest.json of an S3 Inventory; plain, gzip or zstd. A path, an s3:// location or `-`"
        " for standard input. Keys are relative to SRC.",
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        callback=require_unicode,
        help="Only keys that match, such as `shoes/*.jpg`; `*` also matches `/`. May be repeated.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB", callback=require_unicode, help="No keys that match. May be repeated."
    ),
]
Since = Annotated[
    float | None,
    typer.Option(
        metavar="TIME",
        parser=parse_since,
        help="Only photographs modified at or after a date or time, such as 2026-01-31,"
        " 2026-01-31T18:00 (in this machine's time zone) or 2026-01-31T18:00Z.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Only the first N photographs, by their keys."),
]
SampleSize = Annotated[
    int | None,
    typer.Option(
        "--sample",
        min=1,
        metavar="N",
        help="Only N photographs from all over the source: the same ones each time.",
    ),
]
OnlyChanged = Annotated[
    bool,
    typer.Option(
        "--only-changed",
        help="Leave out photographs whose output is not older than they are. Quick, as DST is"
        " listed once; but an output counts whatever model and options it was made with.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print how much there is to do and how long it may take; submit nothing."
    ),
]


def _checked_callback(url: str | None) -> str | None:
    """Return a callback's URL. Raises PermanentError (`url_refused`)."""
    if url is not None:
        check_url(url, settings().url_allowlist)
    return url


CallbackUrl = Annotated[
    str | None,
    typer.Option(
        "--callback",
        metavar="URL",
        callback=_checked_callback,
        help="An https URL that receives the batch as a POST of JSON each time it is closed or has"
        " failed. `cutout dispatch` sends it, signed if CUTOUT_WEBHOOK_SECRET is set.",
    ),
]
Name = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        callback=require_unicode,
        help="A name of your own. For 30 days, repeating the command with the same name creates no"
        " second batch, and another command with the same name is refused.",
    ),
]


@app.command()
def submit(
    source: Source,
    destination: Destination,
    model: ModelName = None,
    refine: Refine = None,
    passes: Passes = None,
    decontaminate: Decontaminate = None,
    recipe_name: RecipeName = None,
    presets: PresetNames = None,
    force: Force = False,
    manifest: Manifest = "",
    include: Include = None,
    exclude: Exclude = None,
    since: Since = None,
    limit: Limit = None,
    sample: SampleSize = None,
    only_changed: OnlyChanged = False,
    priority: Priority = None,
    weight: Weight = None,
    cap: Cap = None,
    not_before: NotBefore = None,
    deadline: Deadline = None,
    callback_url: CallbackUrl = None,
    name: Name = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Register photographs at SRC as a batch of the cluster, and print the batch's ID.

    SRC may also be a single photograph. If the command is interrupted before it prints an ID,
    repeat it with the same arguments: it goes on with the listing. After that, the same command
    makes another batch, unless it has a `--name`.
    """
    from producer.batches.register import new_spec, register  # noqa: PLC0415 - slow to import

    log.configure(settings())  # to standard error: a listing that waits for storage says so
    recipe = RecipeOptions(
        model, refine, passes, decontaminate, recipe=recipe_name, presets=presets
    ).chosen()
    selection = Selection(
        manifest=manifest, include=tuple(include or ()), exclude=tuple(exclude or ()), since=since,
        limit=limit, sample=sample, only_changed=only_changed,
    )  # fmt: skip
    schedule = ScheduleOptions(priority, weight, cap, not_before, deadline).applied_to(IMMEDIATELY)
    ledger = open_ledger()
    ledger.ping()
    if dry_run:
        spec = new_spec(source, destination, recipe, force=force, selection=selection)
        _print_preview(ledger, spec, as_json=as_json)
        return
    spec = register(
        ledger, source, destination, recipe, force=force, selection=selection, schedule=schedule,
        callback_url=callback_url, name=name,
    )  # fmt: skip
    ledger.sync()  # once its ID is printed, the batch survives a power cut
    print_batch(spec, as_json=as_json)


def print_batch(spec: BatchSpec, *, as_json: bool) -> None:
    """Print the ID of a new batch, and what was left out of it."""
    from producer.batches.selection import unreadable_text  # noqa: PLC0415

    if as_json:
        counts = {
            "total": spec.total, "ignored": spec.ignored, "excluded": spec.excluded,
            "unreadable": spec.unreadable, "unreadable_rows": [*spec.unreadable_rows],
        }  # fmt: skip
        typer.echo(json.dumps({"batch": spec.id, **counts}))
        return
    typer.echo(spec.id)
    if unreadable := unreadable_text(spec.unreadable, spec.unreadable_rows):
        typer.echo(unreadable, err=True)


def _print_preview(ledger: RedisLedger, spec: BatchSpec, *, as_json: bool) -> None:
    from producer.batches.preview import fleet, preview  # noqa: PLC0415
    from producer.batches.selection import linked_folders_text, unreadable_text  # noqa: PLC0415

    size, workers = preview(spec), fleet(ledger, spec.recipe.model)
    seconds = workers.seconds(size.photographs)
    if as_json:
        counts = {
            "photographs": size.photographs, "bytes": size.bytes,
            "unknown_sizes": size.unknown_sizes, "ignored": size.ignored,
            "excluded": size.excluded, "linked_folders": [*size.linked_folders],
            "unreadable": size.unreadable, "unreadable_rows": [*size.unreadable_rows],
            "worker_processes": workers.children, "seconds": seconds,
        }  # fmt: skip
        typer.echo(json.dumps(counts))
        return
    unknown = f", and {size.unknown_sizes:,} of unknown size" if size.unknown_sizes else ""
    typer.echo(f"{size.photographs:,} photographs, {size.bytes / 1e9:,.3f} GB{unknown}.")
    typer.echo(f"{size.ignored:,} other files, {size.excluded:,} photographs excluded by options.")
    if linked := linked_folders_text(size.linked_folders):
        typer.echo(linked)
    if unreadable := unreadable_text(size.unreadable, size.unreadable_rows):
        typer.echo(unreadable)
    if seconds is not None:
        typer.echo(
            f"About {duration_text(seconds)} on {workers.children:,} worker processes at"
            f" {workers.seconds_per_image:.2f} s per photograph."
        )
    elif workers.children:
        typer.echo("The time is not known: no batch with this model was processed yet.")
    else:
        typer.echo(f"The time is not known: no worker serves {spec.recipe.model}.")
