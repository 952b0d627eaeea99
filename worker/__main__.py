"""The worker-side verbs: `cutout worker` and `cutout models` become `python -m worker VERB`."""

import json
import os
import sys
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from contract import log, names
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.settings import settings
from worker.models import cpus, registry, store

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
models = typer.Typer(no_args_is_help=True, help="See, fetch and check the models' weights.")
app.add_typer(models, name="models")


@app.callback()
def _root() -> None:
    """Run the worker side of cutout."""


@app.command()
def worker(
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            "-c",
            min=1,
            help="Child processes. Default: one for each CPU, and one more for every four.",
        ),
    ] = None,
) -> None:
    """Take jobs from the queue of one model (CUTOUT_MODEL) until told to stop.

    SIGTERM ends it in order: images in hand are finished, the rest goes back to the queue.
    """
    from worker.app import create_app  # noqa: PLC0415 - Celery is slow to import
    from worker.runtime import verify_weights  # noqa: PLC0415

    config = settings()
    log.configure(config)
    children = concurrency or cpus.children(cpus.available())
    verify_weights(config, children)
    celery = create_app(children)
    hostname = f"{config.model}-{os.getpid()}@%h"
    celery.worker_main(
        [
            "--quiet", "worker", "--hostname", hostname, "--queues", names.bulk_queue(config.model),
            "--without-gossip", "--without-mingle", "--loglevel", config.log_level,
        ]
    )  # fmt: skip


@models.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the models: input, size, licence, and whether the weights are here."""
    folder = settings().model_dir.expanduser()
    rows = [
        {
            "name": model.name,
            "input": model.side,
            "bytes": model.size,
            "licence": model.licence,
            "digest": model.digest,
            "present": (folder / model.file).exists(),
            "sources": [str(source) for source in model.sources],
        }
        for model in registry.MODELS.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("model", "input", "size", "licence", "here", title=f"weights in {folder}")
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB" if isinstance(row["bytes"], int) else "?"
        table.add_row(
            str(row["name"]), f"{row['input']} px", size, str(row["licence"]),
            "yes" if row["present"] else "no",
        )  # fmt: skip
    Console().print(table)


@models.command()
def pull(name: Annotated[str, typer.Argument(help="A name from `cutout models list`.")]) -> None:
    """Fetch a model's weights and verify them. Does nothing where they are here already."""
    config = settings()
    log.configure(config)
    start = time.monotonic()
    path = store.pull(registry.find(name), config.model_dir, config.model_source)
    typer.echo(f"{name} is verified at {path} ({time.monotonic() - start:.1f} s).")


@models.command()
def verify() -> None:
    """Check the digest of every model that is here. Exit status 1 if one is wrong."""
    config = settings()
    here = [
        m for m in registry.MODELS.values() if (config.model_dir.expanduser() / m.file).exists()
    ]
    if not here:
        raise PermanentError(ErrorCode.MODEL_MISSING, "There are no weights here to verify.")
    wrong = 0
    for model in here:
        try:
            sha256 = store.verify(config.model_dir.expanduser() / model.file, model)
        except CutoutError as error:
            typer.echo(str(error), err=True)
            wrong += 1
        else:
            typer.echo(f"{model.name}: right (sha256 {sha256})")
    raise typer.Exit(1 if wrong else 0)


def main() -> None:
    try:
        app(prog_name="cutout")
    except CutoutError as error:
        typer.echo(f"cutout: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
