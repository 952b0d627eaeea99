"""The worker-side verbs: `cutout worker` and `cutout models` become `python -m worker VERB`."""

import json
import os
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from contract import log, names
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.ledger.connection import Connection
from contract.ledger.redis_ledger import RedisLedger
from contract.ledger.workers import WorkerRegistry, check_clock
from contract.settings import settings
from worker.cpu import count
from worker.cpu.features import int8_dot_product
from worker.imaging.decode import Limits
from worker.models import registry, weights
from worker.supervision import heartbeat

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
models = typer.Typer(
    no_args_is_help=True, help="See, fetch, check and quantise the models' weights."
)
app.add_typer(models, name="models")


Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        "-c",
        min=1,
        help="Child processes. Default: one for each CPU, and one more for every four.",
    ),
]
Quarantine = Annotated[
    bool,
    typer.Option(
        "--quarantine",
        help="Take the images that ended their process before: one at a time, each in a process of"
        " its own with little memory. One such worker will do for a cluster.",
    ),
]
Interactive = Annotated[
    bool,
    typer.Option(
        "--interactive", help="Take single images alone, so that none of them waits for a batch's."
    ),
]


@app.callback()
def _root() -> None:
    """Run the worker side of cutout."""


@app.command()
def worker(
    concurrency: Concurrency = None,
    quarantine: Quarantine = False,
    interactive: Interactive = False,
) -> None:
    """Take jobs from the queue of one model (CUTOUT_MODEL) until told to stop.

    SIGTERM ends it in order: images in hand are finished, the rest goes back to the queue.

    Exit status 75: it was deaf or stuck and wants to be started again.
    """
    from celery.worker import state  # noqa: PLC0415 - Celery is slow to import

    from worker.app import create_app  # noqa: PLC0415
    from worker.runtime import prepare  # noqa: PLC0415
    from worker.supervision.watchdog import watched  # noqa: PLC0415

    config = settings()
    log.configure(config)
    children = 1 if quarantine else concurrency or count.children(count.available())
    prepare(config, children, quarantine=quarantine, interactive=interactive)
    celery = create_app(children, quarantine=quarantine)
    check_clock(WorkerRegistry(Connection(config.require_redis_url(), retries=0, timeout=5)))
    queues = _queues(config.model, quarantine=quarantine, interactive=interactive)
    hostname = f"{queues[-1]}-{os.getpid()}@{socket.gethostname()}"
    with watched(celery, config, hostname, queues[-1], children):
        celery.worker_main(
            [
                "--quiet", "worker", "--hostname", hostname, "--queues", ",".join(queues),
                "--without-gossip", "--without-mingle", "--loglevel", config.log_level,
            ]
        )  # fmt: skip
    sys.exit(state.should_stop or 0)  # `worker_main` keeps the status to itself


@app.command("health")
def check_health(
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask for more: a model loaded, and Redis connected.")
    ] = False,
) -> None:
    """Say whether each worker of this machine lives. Exit status 1 if one does not, or none is.

    A worker that waits for Redis lives, and is not ready.
    """
    for beat in heartbeat.check(settings().state_dir.expanduser() / "workers", ready=ready):
        typer.echo(
            f"worker {beat.pid}: {'ready' if beat.ready else 'not ready'}, {beat.queue}, "
            f"{beat.children} children, heard of {beat.age:.0f} s ago"
        )


def _queues(model: str, *, quarantine: bool, interactive: bool) -> list[str]:
    """Return what a worker serves, first things first."""
    if quarantine:
        return [names.quarantine_queue(model)]
    if interactive:
        return [names.interactive_queue(model)]
    return [names.interactive_queue(model), names.bulk_queue(model)]


@app.command()
def audit(
    batch: Annotated[str, typer.Argument(metavar="ID", help="A batch, as `submit` printed it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Check that every image of a batch is settled once and that its output is right.

    Reads the manifest, the outcomes, the report, every output and every photograph. Exit status:
    0 all is right, 3 something is wrong (each finding is a line), 1 it could not be checked.
    """
    from worker.audit import audit as findings_of  # noqa: PLC0415 - the other verbs start faster

    config = settings()
    ledger = RedisLedger(config.require_redis_url(), retries=2)
    if ledger.batches.progress(batch).spec.cutout:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT, f"{batch} is a single image, and an audit is of batches."
        )
    count = 0
    for finding in findings_of(ledger, batch):
        count += 1
        typer.echo(json.dumps(asdict(finding)) if as_json else names.printable(str(finding)))
    now = ledger.batches.progress(batch)
    if as_json:
        counts = {name: getattr(now, name) for name in ("done", "skipped", "failed", "duplicates")}
        row = {"batch": batch, "state": now.state, "total": now.spec.total, **counts}
        typer.echo(json.dumps({**row, "findings": count}))
    else:
        typer.echo(
            f"{now.settled:,} of {now.spec.total:,} settled: {now.done:,} done, {now.skipped:,}"
            f" skipped, {now.failed:,} failed. {now.duplicates:,} deliveries more than needed,"
            f" counted nowhere. {_verdict(count)}"
        )
    raise typer.Exit(3 if count else 0)


def _verdict(count: int) -> str:
    match count:
        case 0:
            return "Nothing is wrong."
        case 1:
            return "1 finding."
        case _:
            return f"{count:,} findings."


@models.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """List the models: input, size, speed, loss and licence, and whether the weights are here.

    The speed is of one thread on this machine, measured the first time it is asked for. The loss
    is what INT8 costs: the masks against those of the float model.
    """
    from worker.models import benchmark  # noqa: PLC0415 - brings ONNX Runtime

    folder = settings().model_dir.expanduser()
    rows = [
        _row(model, folder, benchmark.milliseconds(model, folder))
        for model in registry.MODELS.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(
        Column("model", no_wrap=True), "input", "size", "speed", "IoU", "licence", "here",
        title=f"weights in {folder}", caption="speed: one thread here; IoU: its masks and float's",
        box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row["name"], f"{row['input']} px",
            f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else "?",
            f"{row['milliseconds']:.0f} ms" if row["milliseconds"] else "?",
            f"{row['loss']['iou']:.3f}" if row["loss"] else "-",
            row["licence"], "yes" if row["present"] else "no",
        )  # fmt: skip
    Console().print(table)
    if not int8_dot_product():
        typer.echo(
            "This CPU has no INT8 dot product: INT8 models are about as fast as float here, and"
            " take less memory and disk."
        )


def _row(model: registry.Model, folder: Path, milliseconds: float | None) -> dict[str, Any]:
    loss = weights.loss(model, folder)
    return {
        "name": model.name,
        "input": model.side,
        "bytes": model.size,
        "milliseconds": milliseconds,
        "loss": asdict(loss) if loss else None,
        "licence": model.licence,
        "digest": model.digest,
        "present": (folder / model.file).exists(),
        "sources": [str(source) for source in model.sources],
    }


@models.command()
def pull(name: Annotated[str, typer.Argument(help="A name from `cutout models list`.")]) -> None:
    """Fetch a model's weights and verify them. Does nothing where they are here already."""
    config = settings()
    log.configure(config)
    start = time.monotonic()
    path = weights.pull(registry.find(name), config.model_dir, config.model_source)
    typer.echo(f"{name} is verified at {path} ({time.monotonic() - start:.1f} s).")


@models.command()
def quantize(
    name: Annotated[str, typer.Argument(help="An INT8 model of `cutout models list`.")],
    images: Annotated[Path, typer.Option(help="A folder of photographs like yours to come.")],
) -> None:
    """Build an INT8 model for photographs of your own, instead of from our table of ranges.

    Every fourth photograph is held back to measure the loss on. The new ranges go to NAME.json
    beside the weights. That file is all another machine needs: put it into its model folder and
    `pull`. Delete it and the weights to return to ours.
    """
    from worker.models.int8.calibrate import calibrate  # noqa: PLC0415 - brings ONNX Runtime and onnx

    config = settings()
    log.configure(config)
    model, folder = registry.find(name), config.model_dir.expanduser()
    if model.quantized is None:
        raise PermanentError(ErrorCode.MODEL_UNKNOWN, f"{name} is not an INT8 model.")
    base = weights.pull(registry.find(model.quantized.base), folder, config.model_source)
    loss = calibrate(model, base, images, folder, Limits(config.max_pixels))
    typer.echo(
        f"{name} is built at {folder / model.file}. On the photographs held back its masks have"
        f" IoU {loss.iou:.4f} and MAE {loss.mae:.4f} against {model.quantized.base}'s."
    )


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
            sha256 = weights.verify(config.model_dir.expanduser() / model.file, model)
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
