"""Network inputs from the photographs of a folder: whole ones to fit, cuts to train on."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.errors import CutoutError, ErrorCode, PermanentError
from worker.imaging.arrays import Float32Array
from worker.imaging.decode import Limits, decode
from worker.imaging.u2net import network_input
from worker.models.int8.calibrate import MIN_PHOTOGRAPHS, split
from worker.models.registry import Model

BATCH = 4
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
        """Raise PermanentError (`nothing_to_do`) if there are too few."""
        self._model, self._limits = model, limits
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        self._files, held_out = split(files)
        self.used = self._whole(self._files)
        """up to WHOLE inputs, float32 [1, 3, side, side], of photographs to train on"""
        self.held_out = self._whole(held_out)
        """up to WHOLE inputs, float32 [1, 3, side, side], of those that are held out"""
        if len(self.used) + 1 < MIN_PHOTOGRAPHS or not self.held_out:
            raise PermanentError(
                ErrorCode.NOTHING_TO_DO,
                f"{folder} has {len(self.used) + len(self.held_out)} photographs; at least"
                f" {MIN_PHOTOGRAPHS} are needed, better hundreds.",
            )

    def batch(self, number: int) -> Float32Array:
        """Return cuts of random photographs, float32 [BATCH, 3, side, side]: always the same."""
        rng = np.random.default_rng([SEED, number])
        cuts: list[Float32Array] = []
        while len(cuts) < BATCH:
            photograph = self._decoded(self._files[int(rng.integers(len(self._files)))])
            if photograph:
                cuts.append(self._cut(photograph, rng))
        return np.concatenate(cuts)

    def _whole(self, files: list[Path]) -> list[Float32Array]:
        found = filter(None, map(self._decoded, files[:: -(-len(files) // WHOLE) or 1]))
        return [network_input(rgb, self._model.side, self._model.normalisation) for rgb in found]

    def _decoded(self, path: Path) -> Image.Image | None:
        try:
            return decode(path.read_bytes(), self._limits).rgb
        except CutoutError:
            return None

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
