"""`cutout plan`."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from contract import log
from contract.settings import settings
from producer.cli.options import (
    AsJson,
    Decontaminate,
    ModelName,
    Passes,
    PresetNames,
    PricePerCoreHour,
    RecipeName,
    RecipeOptions,
    Refine,
    Source,
    Workers,
    enable_ctrl_c,
)
from producer.cli.times import duration_text, parse_time
from producer.local.plan import Plan, compute

app = typer.Typer()

Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="TIME",
        help="When all must be done: 06:00 (the next one, in this machine's time zone) or"
        " 2026-01-31T06:00.",
    ),
]  # fmt: skip
SampleSize = Annotated[
    int, typer.Option("--sample", min=8, metavar="N", help="Photographs that are processed.")
]
PricePerRequests = Annotated[
    float | None,
    typer.Option(
        "--price-per-1000-requests",
        min=0,
        metavar="PRICE",
        help="Price of 1,000 storage requests; the estimate then includes their cost.",
    ),
]


@app.command()
def plan(
    source: Source,
    model: ModelName = None,
    refine: Refine = None,
    passes: Passes = None,
    decontaminate: Decontaminate = None,
    recipe_name: RecipeName = None,
    presets: PresetNames = None,
    until: Until = None,
    sample: SampleSize = 48,
    workers: Workers = None,
    price_per_core_hour: PricePerCoreHour = None,
    price_per_1000_requests: PricePerRequests = None,
    as_json: AsJson = False,
) -> None:
    """Say how long the photographs at SRC would take here, and what it takes to meet a deadline.

    Processes a sample of them on this machine, with Redis, a dispatcher and workers of its own, and
    discards the outputs. Run it on an otherwise idle machine like those of your cluster.
    """
    from producer.local.sample import count, sample_source  # noqa: PLC0415 - the other verbs start faster

    enable_ctrl_c()
    log.configure(settings())
    recipe = RecipeOptions(
        model, refine, passes, decontaminate, recipe=recipe_name, presets=presets
    ).chosen()
    deadline = parse_time(until, datetime.now(UTC)) if until else None
    size = count(source, recipe)
    measured = sample_source(source, recipe, sample, workers)
    result = compute(
        size, measured,
        seconds_left=(deadline - datetime.now(UTC)).total_seconds() if deadline else None,
        price_per_core_hour=price_per_core_hour,
        price_per_1000_requests=price_per_1000_requests,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(asdict(result)))
    else:
        _print(result, deadline)


def _print(plan: Plan, deadline: datetime | None) -> None:
    """Print a plan, each line with its assumption."""
    formats = ", ".join(f"{number} {name.lstrip('.')}" for name, number in plan.formats.items())
    failed = f"; {plan.failed} failed" if plan.failed else ""
    typer.echo(
        f"{plan.photographs:,} photographs. {plan.sampled} of them, from all over the source, were"
        f" processed here ({formats}{failed}).\n"
    )
    _line(
        "Per photograph",
        f"{plan.cpu_seconds_per_image:.2f} s of CPU time; {plan.megapixels:.1f} MP",
        "the others are like the sample, and larger files take longer",
    )
    _line(
        "This machine",
        f"{duration_text(plan.seconds)} with {plan.cpus} CPUs:"
        f" {plan.images_per_second:.2f} photographs a second",
        "nothing else runs on it",
    )
    if deadline is not None and plan.cores_needed is not None and plan.memory_needed is not None:
        _line(
            f"Until {deadline:%a %H:%M}",
            f"{plan.cores_needed:,} CPUs like these, {plan.memory_needed / 1e9:.1f} GB of memory",
            "started now; storage and Redis keep up",
        )
    _line(
        "In all",
        f"{plan.core_hours_elapsed:,.2f} core hours, {plan.core_hours:,.2f} of them busy;"
        f" {plan.s3_requests:,.0f} storage requests; {plan.bytes_read / 1e9:,.2f} GB read,"
        f" {plan.bytes_written / 1e9:,.2f} GB written",
        "nothing is repeated",
    )
    if plan.cost is not None:
        _line("Cost", f"{plan.cost:,.2f}", "at the given prices, without those of stored bytes")


def _line(title: str, text: str, assumption: str) -> None:
    typer.echo(f"{title:16} {text} ({assumption}).")
