"""The command line: `cutout VERB`. Each group of verbs has a file here: parse, call, print."""

import os
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from contract.celery_environment import clear_celery_options
from contract.errors import CutoutError
from contract.ledger.probe import explain_to_user
from contract.unknown_settings import print_unknown_settings
from producer.cli import (
    batches,
    compare,
    config,
    doctor,
    files,
    keys,
    local,
    plan,
    recipes,
    removebg_check,
    render,
    schedule,
    services,
    submit,
    worker_verbs,
)  # fmt: skip

DISTRIBUTION = "cutout-queue"
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # paragraphs wrap to the terminal's width
    help="Cut the subject out of product photographs, at catalogue scale.\n\n"
    "On one machine: `cutout run SRC DST`.\n\n"
    "On a cluster: `cutout dispatch` and `cutout worker` on its machines, and"
    " `cutout submit SRC DST` from anywhere. All verbs of a cluster need CUTOUT_REDIS_URL.\n\n"
    "SRC and DST are folders or s3://bucket/prefix. On a cluster, a folder must have the same path"
    " on every machine. For S3, the AWS_* environment variables and profiles apply.\n\n"
    "Exit status, unless a verb says otherwise: 0 done, 1 failed, 2 wrong usage.",
)
for group in (
    local,
    plan,
    submit,
    render,
    batches,
    files,
    schedule,
    recipes,
    compare,
    services,
    worker_verbs,
    keys,
    doctor,
    config,
    removebg_check,
):
    app.add_typer(group.app)


def installed_version() -> str:
    """Return the version of the installed distribution, or `unknown` without its metadata."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"  # run from a source folder that was never installed


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"cutout {installed_version()}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand not in worker_verbs.VERBS:  # the worker's command line names them
        print_unknown_settings()


def main() -> None:
    clear_celery_options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    try:
        app(prog_name="cutout")
    except CutoutError as error:
        typer.echo(f"cutout: {explain_to_user(error)}", err=True)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # as in `cutout report ID | head`: without this, Python reports the pipe again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
