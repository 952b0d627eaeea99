"""`cutout doctor`."""

import dataclasses
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from contract.errors import ErrorCode, PermanentError
from contract.settings import settings
from producer.cli.options import AsJson
from producer.doctor.examination import examine_all
from producer.doctor.finding import Finding, Level

app = typer.Typer()

COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


@app.command()
def doctor(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Source of a batch, to be listed.")
    ] = "",
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="Its destination, to be written to.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check what a cluster needs, and say how to correct what is wrong.

    Checks settings, folders, weights, limits and ports of this machine; Redis, its clock and its
    processes; and, if both are given, that SRC can be listed and DST written to, for which it
    writes and deletes one small file.

    Exit status: 0 nothing is wrong; 1 there are errors or warnings.
    """
    if source and not destination:
        raise PermanentError(ErrorCode.INVALID_LOCATION, "DST is missing.")
    locations = (source, destination) if source else None
    console, found = Console(), []
    for finding in examine_all(settings(), locations):
        found.append(finding)
        if not as_json:
            _show(console, finding)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in found], indent=2))
    sys.exit(any(finding.level is not Level.OK for finding in found))


def _show(console: Console, finding: Finding) -> None:
    colour = COLOURS[finding.level]
    text = escape(finding.message)
    console.print(f"[{colour}]{finding.level:8}[/] {finding.check:12} {text}", soft_wrap=True)
    if finding.next_step:
        console.print(f"{'':22}{escape(finding.next_step)}", soft_wrap=True)
