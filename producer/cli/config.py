"""`cutout config`."""

import json
import os
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from contract.secret_files import SUFFIX
from contract.settings import SECRETS, settings, variable_of
from producer.cli.options import AsJson

app = typer.Typer()

HIDDEN = "********"


@app.command()
def config(as_json: AsJson = False) -> None:
    """Show every setting as the processes started here would read it. Secrets are hidden."""
    rows = [
        {"variable": variable_of(name), "value": _shown(name, value), "from": _origin(name)}
        for name, value in settings()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    table = Table("variable", "value", "from", box=None)
    for row in rows:
        value = row["value"]
        text = ", ".join(value) if isinstance(value, tuple) else value
        table.add_row(row["variable"], "-" if text in {None, ""} else str(text), row["from"])
    Console().print(table)


def _shown(name: str, value: Any) -> Any:
    return HIDDEN if name in SECRETS and value else value


def _origin(name: str) -> str:
    variable = variable_of(name)
    if os.environ.get(variable + SUFFIX) and name in SECRETS:
        return "file"
    return "environment" if os.environ.get(variable) else "default"
