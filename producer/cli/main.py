"""The command line: `cutout VERB`. Every function here parses, calls and prints."""

import json
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from contract import log
from contract.errors import CutoutError
from contract.interpreter import python_command
from contract.ledger.workers import check_clock
from contract.recipe import recipe_for
from contract.settings import settings
from producer.callbacks.schedule import CallbackSchedule
from producer.cli import batches
from producer.cli.batches import AsJson, Destination, open_ledger
from producer.web import api_keys
from producer.web.api_keys import Scope

EXIT_FAILED_RUN, EXIT_FAILED_IMAGES, EXIT_INTERRUPTED = 1, 3, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Cut out product photographs at catalogue scale.\n\n"
    "On one machine: [bold]cutout run SRC DST[/bold]. On a cluster: [bold]cutout worker[/bold] "
    "and [bold]cutout dispatch[/bold] on the machines, [bold]cutout submit SRC DST[/bold] from "
    "anywhere.\n\n"
    "SRC and DST are folders or s3://bucket/prefix; AWS's own variables and profiles apply.",
)

Source = Annotated[str, typer.Argument(metavar="SRC", help="Folder or s3://bucket/prefix.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", help="See `cutout models list`. Default: CUTOUT_MODEL."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Redo images whose cut-out is already there and current.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        min=1,
        help="Worker processes. Default: one a CPU, and one more for every four.",
    ),
]


def _become(module: str, *arguments: str) -> NoReturn:
    command = python_command(module, *arguments)
    os.execv(command[0], command)  # noqa: S606


@app.command()
def run(
    source: Source,
    destination: Destination,
    model: ModelName = None,
    workers: Workers = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Cut out every photograph below SRC into DST, here and now.

    Starts Redis (unless CUTOUT_REDIS_URL names one), a dispatcher, workers and Flower, shows
    progress, and stops them. Ctrl-C stops in order; the same command again goes on from there.

    JPEG, PNG, WebP, TIFF, BMP, GIF and MPO. a/b.jpg becomes a/b.png.

    Exit status: 0 all done or skipped, 3 some images failed (each is named), 1 the run could
    not be carried out, 2 usage.
    """
    from producer.local.run import run_job  # noqa: PLC0415 - the other verbs start faster without

    raise typer.Exit(run_job(source, destination, model, workers, force=force, as_json=as_json))


@app.command()
def up(model: ModelName = None, workers: Workers = None) -> None:
    """Keep Redis, a dispatcher, workers and Flower running here until Ctrl-C."""
    from producer.local.run import stay_up  # noqa: PLC0415

    stay_up(model, workers)


@app.command()
def submit(
    source: Source,
    destination: Destination,
    model: ModelName = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Register a batch for the cluster and print its id."""
    from producer.batches.register import register  # noqa: PLC0415

    recipe = recipe_for(model or settings().model)
    ledger = open_ledger()
    ledger.ping()
    spec = register(ledger, source, destination, recipe, force=force)
    if as_json:
        typer.echo(json.dumps({"batch": spec.id, "total": spec.total, "ignored": spec.ignored}))
    else:
        typer.echo(spec.id)


@app.command()
def dispatch() -> None:
    """Feed batches to the workers, write reports. Several may run; one works at a time."""
    from producer.dispatch.dispatcher import Dispatcher  # noqa: PLC0415

    log.configure(settings())
    stop = False

    def on_signal(*_: object) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    ledger = open_ledger()
    check_clock(ledger.workers)
    Dispatcher(ledger, CallbackSchedule(ledger.connection), settings()).run(lambda: stop)


@app.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
def worker(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Take jobs for one model (CUTOUT_MODEL) until told to stop."""
    _become("worker", "worker", *(arguments or []))


@app.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
def models(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """List, pull NAME or verify the models' weights."""
    _become("worker", "models", *(arguments or []))


@app.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
def audit(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Check that every image of a batch is settled once and that its output is right."""
    _become("worker", "audit", *(arguments or []))


@app.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
def health(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Say whether the workers of this machine live; with --ready, whether they can work."""
    _become("worker", "health", *(arguments or []))


@app.command()
def flower() -> None:
    """Serve Flower, read-only, at CUTOUT_FLOWER_ADDRESS and CUTOUT_FLOWER_PORT."""
    from producer.monitoring.flower import serve_flower  # noqa: PLC0415

    sys.exit(serve_flower(settings()))


@app.command()
def serve() -> None:
    """Serve the API and the page at CUTOUT_WEB_ADDRESS and CUTOUT_WEB_PORT."""
    from producer.web.app import serve as run_server  # noqa: PLC0415 - FastAPI is slow to import

    run_server(settings())


@app.command()
def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who it is for.")],
    scope: Annotated[
        list[Scope], typer.Option("--scope", help="submit, read or admin; may be repeated.")
    ] = [Scope.SUBMIT, Scope.READ],  # noqa: B006 - Typer copies it
) -> None:
    """Make an API key, print it once, and add its digest to the file CUTOUT_API_KEYS."""
    typer.echo(api_keys.add(settings(), name, scope))


app.add_typer(batches.app)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    try:
        app(prog_name="cutout")
    except CutoutError as error:
        typer.echo(f"cutout: {error}", err=True)
        sys.exit(EXIT_FAILED_RUN)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # `cutout report ID | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
