"""`cutout models compress`."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TimeRemainingColumn

from contract import log
from contract.errors import ErrorCode, PermanentError
from contract.paths import expand
from contract.settings import settings
from worker.imaging.decode import Limits
from worker.models import registry, weights

INTERRUPTED = 130
"""Exit status."""

FloatName = Annotated[
    str, typer.Argument(metavar="NAME", help="A float model with a lite one: `u2netp`.")
]
Images = Annotated[
    Path,
    typer.Option(
        help="A folder of photographs like those you will process: at least 4, better hundreds."
        " They need no masks."
    ),
]
Target = Annotated[
    float,
    typer.Option(min=0.5, max=1, help="Share of the multiplications to leave, about."),
]
Steps = Annotated[
    int, typer.Option(min=0, help="Steps of training, of 4 photographs each: seconds each.")
]


def compress(name: FloatName, images: Images, target: Target = 0.55, steps: Steps = 2000) -> None:
    """Build a faster, smaller INT8 model, NAME-lite-int8, for your own photographs.

    The network gets fewer multiplications, then learns from the original what to compute. Needs
    `cutout-queue[compress]`. Interrupted, it goes on where it was if it is called again in the same
    way. The result replaces the model that comes with cutout; to return to that, delete
    NAME-lite-int8.json and NAME-lite-int8.onnx. docs/models.md says what to expect.
    """
    config = settings()
    log.configure(config)
    lite = registry.MODELS.get(f"{name}-lite-int8")
    if lite is None:
        raise PermanentError(ErrorCode.MODEL_UNKNOWN, f"{name} has no lite model.")
    try:
        from worker.models.compress.compress import compress as build  # noqa: PLC0415 - imports JAX
    except ModuleNotFoundError:
        raise PermanentError(
            ErrorCode.EXTRA_MISSING, "JAX is not installed: it is in the extra `compress`."
        ) from None
    from worker.models.graph.float_graph import FloatGraph  # noqa: PLC0415 - imports onnx

    logging.getLogger("jax").setLevel(logging.WARNING)  # it reports each kind of device it lacks
    folder = expand(config.model_dir)
    base = FloatGraph.read(weights.pull(registry.find(name), folder, config.model_source))
    limits = Limits(config.max_pixels)
    bar = Progress("training", BarColumn(), "{task.fields[loss]}", TimeRemainingColumn())
    training = bar.add_task("", total=steps, loss="")

    def stepped(step: int, loss: float) -> None:
        bar.start()
        bar.update(training, completed=step, loss=f"loss {loss:.4f}")

    try:
        built = build(
            lite, base, expand(images), target, steps, folder, limits,
            lambda share: bar.console.print(f"{share:.2f} of the multiplications"), stepped,
        )  # fmt: skip
    except KeyboardInterrupt:
        bar.stop()
        typer.echo("Interrupted. The same command goes on with what was trained.", err=True)
        # without waiting for JAX's threads, which can end the process by a segmentation fault
        os._exit(INTERRUPTED)
    finally:
        bar.stop()
    typer.echo(
        f"{lite.name} is built at {folder / lite.file}. It has {built.multiplications:.2f} of the"
        f" multiplications of {name}. On the held-out photographs ({built.held_out}), its masks"
        f" have IoU {built.loss.iou:.4f} and MAE {built.loss.mae:.4f} against those of {name}."
    )
