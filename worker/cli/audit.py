"""`cutout audit`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from contract import names
from contract.batch import Progress
from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings

Batch = Annotated[
    str, typer.Argument(metavar="ID", help="A batch ID, as printed by `cutout submit`.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per finding, then a summary.")
]


Sample = Annotated[
    str,
    typer.Option(
        metavar="PERCENT",
        help="Read the outputs and photographs of a random share of the images only: a number and"
        " the % sign, such as 1%.",
    ),
]


def audit(batch: Batch, sample: Sample = "100%", as_json: AsJson = False) -> None:
    """Check that each image of a batch has exactly one outcome and that its output is correct.

    Reads the manifest, the outcomes, the report, every output and every photograph, so it takes a
    while; with `--sample`, less. Changes nothing.

    Exit status: 0 nothing is wrong; 3 something is wrong (one line per finding); 1 the audit could
    not be carried out.
    """
    from worker.audit import audit as findings_of  # noqa: PLC0415 - the other verbs start faster

    share = _share(sample)
    ledger = RedisLedger(settings().require_redis_address(), retries=2)
    if ledger.batches.progress(batch).spec.cutout:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT, f"{batch} is a cutout; only batches can be audited."
        )
    count = 0
    for finding in findings_of(ledger, batch, share):
        count += 1
        typer.echo(json.dumps(asdict(finding)) if as_json else names.printable(str(finding)))
    progress = ledger.batches.progress(batch)
    typer.echo(_json_summary(progress, count) if as_json else _summary(progress, count))
    raise typer.Exit(3 if count else 0)


def _share(percent: str) -> float:
    """Return a percentage such as `1%` as a number above 0 and up to 1."""
    try:
        share = float(percent.removesuffix("%")) / 100
    except ValueError:
        share = 0
    if not percent.endswith("%") or not 0 < share <= 1:
        raise typer.BadParameter(
            "write a percentage above 0% and up to 100%, such as 1%", param_hint="--sample"
        )
    return share


def _json_summary(progress: Progress, findings: int) -> str:
    counters = ("done", "skipped", "failed", "duplicates")
    return json.dumps(
        {
            "batch": progress.spec.id,
            "state": progress.state,
            "total": progress.spec.total,
            **{name: getattr(progress, name) for name in counters},
            "findings": findings,
        }
    )


def _summary(progress: Progress, findings: int) -> str:
    verdict = {0: "Nothing is wrong.", 1: "1 finding."}.get(findings, f"{findings:,} findings.")
    return (
        f"{progress.settled:,} of {progress.spec.total:,} images settled: {progress.done:,} done,"
        f" {progress.skipped:,} skipped, {progress.failed:,} failed."
        f" {progress.duplicates:,} duplicate deliveries, not counted. {verdict}"
    )
