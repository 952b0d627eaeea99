"""The worker-side verbs. Each group has a file of its own here: parse, call, print."""

import sys

import typer

from contract.celery_environment import clear_celery_options
from contract.errors import CutoutError
from contract.ledger.probe import explain_to_user
from contract.unknown_settings import print_unknown_settings
from worker.cli import models
from worker.cli.audit import audit
from worker.cli.compare_outputs import compare_outputs
from worker.cli.health import health
from worker.cli.sheet import sheet
from worker.cli.verify import verify
from worker.cli.worker import worker

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",  # paragraphs wrap to the terminal's width
    help="The verbs of cutout that run on worker machines.",
)
app.command()(worker)
app.command()(health)
app.command()(audit)
app.command()(verify)
app.command()(sheet)
app.command(hidden=True)(compare_outputs)
app.add_typer(models.app, name="models")


def main() -> None:
    clear_celery_options()
    print_unknown_settings()
    try:
        app(prog_name="cutout")
    except CutoutError as error:
        typer.echo(f"cutout: {explain_to_user(error)}", err=True)
        sys.exit(1)
