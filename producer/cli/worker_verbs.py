"""The verbs that need the worker's packages: each replaces this process by `python -m worker`."""

import os
from typing import Annotated, NoReturn

import typer

from contract.interpreter import python_command

app = typer.Typer()

VERBS = ("worker", "models", "audit", "verify", "sheet", "health")
PASS_THROUGH = {"ignore_unknown_options": True}
"""Options, `--help` too, are the other process's to parse."""

Arguments = Annotated[list[str] | None, typer.Argument()]


def _become_worker(verb: str, arguments: list[str] | None) -> NoReturn:
    command = python_command("worker", verb, *(arguments or []))
    os.execv(command[0], command)  # noqa: S606


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def worker(arguments: Arguments = None) -> None:
    """Process images from the queues of one model (CUTOUT_MODEL) until stopped."""
    _become_worker("worker", arguments)


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def models(arguments: Arguments = None) -> None:
    """List, download, verify, quantize and export the models' weights."""
    _become_worker("models", arguments)


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def audit(arguments: Arguments = None) -> None:
    """Check that each image of a batch has exactly one outcome and that its output is correct."""
    _become_worker("audit", arguments)


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def verify(arguments: Arguments = None) -> None:
    """Check that image files fulfil a preset's requirements, such as those of Amazon."""
    _become_worker("verify", arguments)


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def sheet(arguments: Arguments = None) -> None:
    """Draw a contact sheet of the pictures at one or several locations."""
    _become_worker("sheet", arguments)


@app.command(context_settings=PASS_THROUGH, add_help_option=False)
def health(arguments: Arguments = None) -> None:
    """Check that the workers on this machine are alive or, with --ready, also ready."""
    _become_worker("health", arguments)
