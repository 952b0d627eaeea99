"""`cutout report ID --summary`: how a batch ended, what it used, and what that costs."""

import json

import typer

from contract.batch import Progress
from producer.batches.report.summary import batch_json
from producer.batches.usage import Usage


def print_batch_summary(
    progress: Progress, usage: Usage, price_per_core_hour: float | None, *, as_json: bool
) -> None:
    if as_json:
        fields = {**batch_json(progress), **usage.as_json(price_per_core_hour)}
        typer.echo(json.dumps(fields, indent=2))
        return
    rows = [
        ("batch", f"{progress.spec.id} ({progress.state})"),
        (
            "images",
            f"{progress.done:,} done, {progress.skipped:,} skipped, {progress.failed:,} failed",
        ),
        ("CPU", f"{usage.cpu_seconds:,.1f} s"),
        ("S3 requests", f"{usage.s3_requests:,}"),
        ("read", f"{usage.bytes_read:,} bytes"),
        ("written", f"{usage.bytes_written:,} bytes"),
    ]
    if price_per_core_hour is not None:
        cost = usage.cost_per_1000_images(price_per_core_hour)
        per_1000 = (
            "unknown: no image is done" if cost is None else f"{cost:.4g} per 1,000 images done"
        )
        rows.append(("CPU cost", f"{per_1000}, at {price_per_core_hour:g} per core and hour"))
    for name, text in rows:
        typer.echo(f"{name:12} {text}")
