"""Network inputs from the photographs of a folder: whole ones to fit, cuts to train on."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.errors import ErrorCode, PermanentError
from worker.imaging.arrays import Float32Array
from worker.imaging.decode import Limits
from worker.imaging.u2net import network_input
from worker.models.int8.calibrate import (
    MIN_PHOTOGRAPHS,
    decoded_or_none,
    photographs_below,
    split,
)
from worker.models.registry import Model

BATCH = 4
MAX_DRAWN = 100
"""A batch tries no more photographs, if most cannot be decoded."""
WHOLE = 60
"""At most so many photographs are used whole, spread over the folder."""
MIN_CUT = 0.7
"""Least side of a cut, as a share of the photograph's."""
CONTRAST, BRIGHTNESS, TINT = (0.7, 1.25), (0.8, 1.25), (0.9, 1.1)
"""Ranges of what a cut is multiplied by: its contrast, its mean grey of 128, each colour."""
MIRRORED, TURNED, GREY = 0.5, 0.15, 0.06
"""Shares of the cuts that are mirrored, turned by 90, 180 or 270 degrees, and without colour."""
SEED = 0


class Photographs:
    """The photographs below a folder, in the order of their paths. Every fourth is held out.

    Files that cannot be decoded are skipped.
    """

    def __init__(self, folder: Path, model: Model, limits: Limits) -> None:
        """Raise PermanentError (`nothing_to_do`) if there are too few, or no folder."""
        self._folder, self._model, self._limits = folder, model, limits
        files = photographs_below(folder)
        if len(files) < MIN_PHOTOGRAPHS:
            raise PermanentError(
                ErrorCode.NOTHING_TO_DO,
                f"{folder} has {len(files)} photographs; at least {MIN_PHOTOGRAPHS} are needed,"
                " better hundreds.",
            )
        self._files, held_out = split(files)
        self.used = self._whole(self._files, "photographs to train on")
        """up to WHOLE inputs, float32 [1, 3, side, side], of photographs to train on"""
        self.held_out = self._whole(held_out, "photographs that are held out")
        """up to WHOLE inputs, float32 [1, 3, side, side], of those that are held out"""

    @property
    def names(self) -> list[str]:
        """Paths within the folder of the photographs to train on."""
        return [str(path.relative_to(self._folder)) for path in self._files]

    def batch(self, number: int) -> Float32Array:
        """Return cuts of random photographs, float32 [BATCH, 3, side, side]: always the same.

        Raises PermanentError (`nothing_to_do`) if hardly any can be decoded.
        """
        rng = np.random.default_rng([SEED, number])
        cuts: list[Float32Array] = []
        for place in rng.integers(len(self._files), size=MAX_DRAWN):
            photograph = decoded_or_none(self._files[int(place)], self._limits)
            if photograph:
                cuts.append(self._cut(photograph, rng))
            if len(cuts) == BATCH:
                return np.concatenate(cuts)
        raise self._undecodable("photographs to train on")

    def _whole(self, files: list[Path], called: str) -> list[Float32Array]:
        spread = files[:: -(-len(files) // WHOLE)]
        found = [rgb for path in spread if (rgb := decoded_or_none(path, self._limits))]
        if not found:
            raise self._undecodable(called)
        return [network_input(rgb, self._model.side, self._model.normalisation) for rgb in found]

    def _undecodable(self, called: str) -> PermanentError:
        return PermanentError(
            ErrorCode.NOTHING_TO_DO, f"None of the {called} in {self._folder} can be decoded."
        )

    def _cut(self, rgb: Image.Image, rng: np.random.Generator) -> Float32Array:
        side, whole = self._model.side, np.array(rgb.size)
        size = whole * rng.uniform(MIN_CUT, 1)
        left, top = rng.uniform(0, 1, 2) * (whole - size)
        box = (left, top, left + size[0], top + size[1])
        pixels: NDArray[np.floating] = np.asarray(
            rgb.resize((side, side), Image.Resampling.LANCZOS, box), np.float32
        )
        if rng.random() < MIRRORED:
            pixels = pixels[:, ::-1]
        if rng.random() < TURNED:
            pixels = np.rot90(pixels, int(rng.integers(1, 4)))
        if rng.random() < GREY:
            pixels = np.repeat(pixels.mean(2, keepdims=True), 3, 2)
        middle = 128 * rng.uniform(*BRIGHTNESS)
        pixels = ((pixels - 128) * rng.uniform(*CONTRAST) + middle) * rng.uniform(*TINT, 3)
        changed = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
        return network_input(changed, side, self._model.normalisation)
