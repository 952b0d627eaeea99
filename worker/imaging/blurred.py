"""A photograph's background, blurred, to fill the canvas behind its subject."""

from dataclasses import dataclass

import numpy as np

from worker.imaging.arrays import Float32Array, Uint8Array
from worker.imaging.cutout import Cutout

GRID_SIDE = 96
"""The longer side of the blurred image, in samples; between them colours are interpolated."""
BLUR_SAMPLES = 4
"""Standard deviation of the blur, in samples: 4 % of the longer side."""
SUBJECT_WEIGHT = 1e-4
"""How much the subject's own colours count: only if no background is near."""


@dataclass(frozen=True, slots=True)
class BlurredBackground:
    """The blurred middle of a photograph, in a size that it fills. Made row by row."""

    columns: Float32Array
    """[sample rows, width, 3], 0..255: enlarged across, not yet down"""
    sample_rows: Float32Array
    """[height], the position of each row of pixels among those of the samples"""

    def rows(self, top: int, bottom: int) -> Uint8Array:
        """Return uint8 [bottom - top, width, 3], RGB 0..255."""
        values = _interpolated(self.columns, self.sample_rows[top:bottom])
        return (values + 0.5).astype(np.uint8)


def blurred_background(cutout: Cutout, size: tuple[int, int]) -> BlurredBackground:
    """Return the background of a cut-out for a canvas of `size` (width, height).

    The subject's colours are left out of the blur, so that no glow surrounds it. What is
    transparent in the photograph counts as white.
    """
    rgb, width_height = cutout.photograph.without_hidden(), cutout.size
    cell = -(-max(width_height) // GRID_SIDE)
    colours = np.asarray(rgb.reduce(cell), np.float32)
    alpha = np.asarray(cutout.alpha.reduce(cell), np.float32) / 255
    weights = np.maximum(1 - 2 * alpha, SUBJECT_WEIGHT)[..., np.newaxis]
    blurred = _blur(colours * weights) / _blur(weights)
    factor = min(own / wanted for own, wanted in zip(width_height, size, strict=True))
    across, down = (
        _sample_positions(own, wanted, factor, cell)
        for own, wanted in zip(width_height, size, strict=True)
    )
    columns = _interpolated(blurred.transpose(1, 0, 2), across).transpose(1, 0, 2)
    return BlurredBackground(np.ascontiguousarray(columns), down)


def _blur(values: Float32Array) -> Float32Array:
    """Blur float32 [rows, columns, channels] by a Gaussian, without normalising at the border."""
    rows, columns = (_gaussian(side) for side in values.shape[:2])
    blurred: Float32Array = np.einsum("yr,rcz,xc->yxz", rows, values, columns, optimize=True)
    return blurred


def _gaussian(side: int) -> Float32Array:
    """Return float32 [side, side]: the weight of each sample for each sample."""
    distance = np.subtract.outer(np.arange(side), np.arange(side)) / BLUR_SAMPLES
    return np.exp(-0.5 * distance**2).astype(np.float32)


def _sample_positions(own: int, wanted: int, factor: float, cell: int) -> Float32Array:
    """Return float32 [wanted]: positions of pixels among samples, along one side.

    `own`: the photograph's side; `wanted`: the canvas's; `factor`: pixels of the photograph for
    each of the canvas; `cell`: pixels of the photograph for each sample.
    """
    start = (own - wanted * factor) / 2
    centres = start + (np.arange(wanted) + 0.5) * factor
    samples = -(-own // cell)
    return np.clip(centres / cell - 0.5, 0, samples - 1).astype(np.float32)


def _interpolated(values: Float32Array, positions: Float32Array) -> Float32Array:
    """Return values [samples, ...] at positions among them, linearly interpolated."""
    first = np.minimum(positions.astype(np.intp), len(values) - 1)
    second = np.minimum(first + 1, len(values) - 1)
    share = (positions - first).reshape(-1, *[1] * (values.ndim - 1))
    result: Float32Array = values[first] * (1 - share) + values[second] * share
    return result
