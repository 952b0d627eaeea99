"""`cutout models`."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from contract import log
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.paths import expand
from contract.settings import settings
from worker.cli.model_check import check
from worker.cli.model_compress import compress
from worker.cli.model_export import Name, export
from worker.cpu.features import int8_dot_product
from worker.imaging.decode import Limits
from worker.models import registry, weights

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List, download, verify, quantize, compress and export the models' weights.",
)

app.command()(check)
app.command()(compress)
app.command()(export)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Int8Name = Annotated[
    str, typer.Argument(metavar="NAME", help="An INT8 model's name, from `cutout models list`.")
]
Images = Annotated[
    Path,
    typer.Option(
        help="A folder of photographs like those you will process: at least 4, preferably 50 or"
        " more."
    ),
]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models: input size, file size, speed, accuracy of INT8, licence, if downloaded.

    Speed is the time per image with one thread on this machine, measured the first time a model is
    listed. IoU is the overlap of an INT8 model's masks with those of its float model: 1 means
    identical.
    """
    from worker.models import benchmark  # noqa: PLC0415 - imports ONNX Runtime

    folder = expand(settings().model_dir)
    rows = [
        _row(model, folder, benchmark.milliseconds(model, folder))
        for model in registry.MODELS.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    Console().print(_table(rows, folder))
    typer.echo(_licences(rows))
    if not int8_dot_product():
        typer.echo(
            "This CPU has no INT8 dot product instruction: INT8 models are about as fast as float"
            " models here, and use less memory and disk."
        )


def _row(model: registry.Model, folder: Path, milliseconds: float | None) -> dict[str, Any]:
    loss, file = weights.loss(model, folder), folder / model.file
    return {
        "name": model.name,
        "input": model.side,
        "bytes": file.stat().st_size if file.exists() else model.size,
        "milliseconds": milliseconds,
        "loss": asdict(loss) if loss else None,
        "licence": model.licence,
        "digest": model.digest,
        "present": file.exists(),
        "sources": [str(source) for source in model.sources],
    }


def _table(rows: list[dict[str, Any]], folder: Path) -> Table:
    table = Table(
        Column("model", no_wrap=True), "input", "size", "speed", "IoU", "downloaded",
        title=f"Models (weights in {folder})",
        caption="speed: one thread on this machine; IoU: INT8 masks against float masks",
        box=box.SIMPLE_HEAD,
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row["name"], f"{row['input']} px",
            f"{row['bytes'] / 1e6:.1f} MB" if row["bytes"] else "?",
            f"{row['milliseconds']:.0f} ms" if row["milliseconds"] else "?",
            f"{row['loss']['iou']:.3f}" if row["loss"] else "-",
            "yes" if row["present"] else "no",
        )  # fmt: skip
    return table


def _licences(rows: list[dict[str, Any]]) -> str:
    """Return a line per licence with its models: too long for a column of the table."""
    models: dict[str, list[str]] = {}
    for row in rows:
        models.setdefault(row["licence"], []).append(row["name"])
    lines = [f"  {', '.join(names)}: {licence}" for licence, names in models.items()]
    return "\n".join(["Licences:", *lines])


@app.command()
def pull(name: Name) -> None:
    """Download a model's weights and verify their digest.

    Weights that are already downloaded are only verified. An INT8 model is built from its float
    model, which is downloaded first; a lite one comes with cutout.
    """
    config = settings()
    log.configure(config)
    start = time.monotonic()
    path = weights.pull(registry.find(name), config.model_dir, config.model_source)
    typer.echo(f"{name} is verified at {path} ({time.monotonic() - start:.1f} s).")


@app.command()
def quantize(name: Int8Name, images: Images) -> None:
    """Build an INT8 model calibrated on your own photographs.

    Replaces the calibration that comes with cutout. Every fourth photograph is held out to measure
    the loss of accuracy. The calibration is written to NAME.json in the folder CUTOUT_MODEL_DIR; to
    use it on another machine, copy NAME.json into that folder there and run
    `cutout models pull NAME`.

    To return to the calibration that comes with cutout, delete NAME.json and NAME.onnx.
    """
    from worker.models.graph.float_graph import FloatGraph  # noqa: PLC0415 - imports onnx
    from worker.models.int8.calibrate import (  # noqa: PLC0415 - imports ONNX Runtime
        calibrate,
        network_inputs,
        split,
    )

    config = settings()
    log.configure(config)
    model, folder = registry.find(name), expand(config.model_dir)
    if model.quantized is None:
        other = "is made by `cutout models compress`" if model.base else "is not an INT8 model"
        raise PermanentError(ErrorCode.MODEL_UNKNOWN, f"{name} {other}.")
    path = weights.pull(registry.find(model.quantized.base), folder, config.model_source)
    base = FloatGraph.read(path)
    used, held_out = split(network_inputs(images, model, Limits(config.max_pixels)))
    loss = calibrate(model, base, base, used, held_out, folder)
    typer.echo(
        f"{name} is built at {folder / model.file}. On the held-out photographs, its masks have"
        f" IoU {loss.iou:.4f} and MAE {loss.mae:.4f} against those of {model.quantized.base}."
    )


@app.command()
def verify() -> None:
    """Check the digests of all downloaded weights.

    Exit status: 0 all are correct; 1 at least one is wrong, or none is downloaded.
    """
    folder = expand(settings().model_dir)
    downloaded = [model for model in registry.MODELS.values() if (folder / model.file).exists()]
    if not downloaded:
        raise PermanentError(ErrorCode.MODEL_MISSING, f"No weights found in {folder}.")
    wrong = 0
    for model in downloaded:
        try:
            sha256 = weights.verify(folder / model.file, model)
        except CutoutError as error:
            typer.echo(str(error), err=True)
            wrong += 1
        else:
            typer.echo(f"{model.name}: verified (sha256 {sha256})")
    raise typer.Exit(1 if wrong else 0)
