"""Makes a U²-Net smaller: fewer multiplications, then training against the original."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.imaging.decode import Limits
from worker.models.compress.distillation import Checkpoint, distil
from worker.models.compress.photographs import Photographs
from worker.models.compress.plan import smaller
from worker.models.graph.float_graph import FloatGraph
from worker.models.int8.calibrate import calibrate
from worker.models.registry import Loss, Model
from worker.models.weights import locked


@dataclass(frozen=True, slots=True)
class Result:
    """What was built."""

    multiplications: float
    """as a share of the original's"""
    loss: Loss
    """of the INT8 model, against the original, on the photographs that are held out"""
    held_out: int
    """how many photographs these are"""


def compress(
    lite: Model,
    base: FloatGraph,
    images: Path,
    target: float,
    steps: int,
    folder: Path,
    limits: Limits,
    narrowed: Callable[[float], None],
    stepped: Callable[[int, float], None],
) -> Result:
    """Build the INT8 model `lite` from a float model and the photographs below `images`.

    `target`: the share of the multiplications that may be left, 0..1. `narrowed` is called with the
    share after each change, `stepped` with the number and the loss of each step of training.

    Writes the model and its calibration (`weights.own_calibration`) to `folder`. What an
    interrupted call had trained is kept there, and used by the next with the same photographs and
    arguments.
    Raises PermanentError (`nothing_to_do`) if there are too few photographs.
    """
    photographs = Photographs(images, lite, limits)
    checkpoint = folder / f"{lite.name}.training.npz"
    with locked(checkpoint):
        small = smaller(base, target, photographs.used, narrowed)
        state = Checkpoint(checkpoint, _digest(small, photographs.names, steps))
        trained = distil(base, small, photographs.batch, steps, state, stepped)
        loss = calibrate(lite, trained, base, photographs.used, photographs.held_out, folder)
        checkpoint.unlink(missing_ok=True)
    share = trained.multiplications / base.multiplications
    return Result(share, loss, len(photographs.held_out))


def _digest(small: FloatGraph, photographs: list[str], steps: int) -> str:
    """Return what tells whether a training goes on from the same network, in the same way."""
    digest = hashlib.sha256(f"{photographs} {steps}".encode())
    for node in small.convolutions:
        for name in node.input[1:]:
            digest.update(small.weights[name].tobytes())
    return digest.hexdigest()
