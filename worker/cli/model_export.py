"""`cutout models export`."""

from pathlib import Path
from typing import Annotated

import typer

from contract.paths import expand
from contract.settings import settings
from worker.models import registry, weights
from worker.models.export.formats import Format

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A model's name, from `cutout models list`.")
]
Folder = Annotated[
    Path, typer.Argument(metavar="[DIR]", help="Folder to write to (default: the current one).")
]
FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        help="`onnx`; `ort` for the mobile builds of ONNX Runtime; `tflite` and `coreml` need"
        " `cutout-queue[export]`.",
    ),
]
Size = Annotated[
    int, typer.Option(help="Side of the network's input in pixels, a multiple of 32.", min=32)
]


def export(
    name: Name, fmt: FormatOption = "onnx", size: Size = 320, folder: Folder = Path()
) -> None:
    """Write a model as a file for a phone or another runtime: NAME-SIZE.SUFFIX.

    INT8 models can only be written as `onnx` and `ort`, and only in the input size that
    `cutout models list` shows. docs/models.md says what each file expects and loses.
    """
    from worker.models.export.writer import export as write  # noqa: PLC0415 - imports onnx

    config = settings()
    model = registry.find(name)
    path = weights.pull(model, config.model_dir, config.model_source)
    target = write(model, path, fmt, size, expand(folder))
    typer.echo(f"{name} is exported as {target} ({_size(target) / 1e6:.1f} MB).")


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a package."""
    if path.is_dir():
        return sum(member.stat().st_size for member in path.rglob("*") if member.is_file())
    return path.stat().st_size
