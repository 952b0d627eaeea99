"""Estimates the subject's own colours where its matte is soft and the photograph shows a mixture.

A soft pixel's colour is I = a F + (1 - a) B. Solid foreground and solid background nearby, spread
over a small grid, give smooth estimates of F and B. At full resolution, each soft pixel's F takes
its share of what they leave unexplained, as in Forte: "Approximate Fast Foreground Colour
Estimation", ICIP 2021. Memory is that of the grid: pixels are corrected strip by strip.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.imaging.arrays import Float32Array, Uint8Array
from worker.imaging.layout import Box, Size, box_size, shrunk

GRID_SIDE = 400
"""Pixels of the grid's longer side, at most."""
REDUCING_GAP = 2.0
"""As for the network's input: see `worker.imaging.u2net`."""
MIN_OPACITY = 0.95
"""Cells of which a layer, foreground or background, holds less say nothing about its colour."""
SPREAD_WEIGHT = np.float32(1e-3)
"""Weight, beside that of an opaque cell's own colour, of the colour spread from around it."""
MIN_WEIGHT = np.float32(1e-6)
"""If no cell is certain, the layer has the mean colour of the box."""
RIDGE = np.float32(0.1)
"""The larger, the closer a soft pixel's colour stays to the smooth estimate."""
OPAQUE = 255


@dataclass(frozen=True, slots=True)
class Foreground:
    """Smooth estimates of the colours of foreground and background within a box."""

    box: Box
    """of the photograph; holds the subject and background around it"""
    grid: Size
    """(width, height)"""
    colours: Float32Array
    """[height * width, 6]: red, green, blue of the foreground and of the background, 0..255"""

    def paint(self, pixels: Uint8Array, corner: tuple[int, int]) -> None:
        """Replace the colours of soft pixels by the foreground's, in place.

        `pixels` is uint8 [height, width, 4], RGBA, a part of the photograph from `corner` (left,
        top) on.
        """
        opacity = pixels[..., 3]
        down, across = np.nonzero((opacity != 0) & (opacity != OPAQUE))
        if not len(down):
            return
        smooth = self._at(across + corner[0], down + corner[1])
        foreground, background = smooth[:, :3], smooth[:, 3:]
        alpha = opacity[down, across, np.newaxis] / np.float32(OPAQUE)
        rest = 1 - alpha
        unexplained = pixels[down, across, :3] - alpha * foreground - rest * background
        unexplained *= alpha / (alpha * alpha + rest * rest + RIDGE)
        unexplained += foreground
        unexplained += np.float32(0.5)
        pixels[down, across, :3] = np.clip(unexplained, 0, 255, out=unexplained)

    def _at(self, x: NDArray[np.intp], y: NDArray[np.intp]) -> Float32Array:
        """Return the colours at pixels of the photograph, interpolated: float32 [pixels, 6]."""
        columns, rows = self.grid
        width, height = box_size(self.box)
        left, right, across = _neighbours((x - self.box[0] + 0.5) * (columns / width), columns)
        upper, lower, down = _neighbours((y - self.box[1] + 0.5) * (rows / height), rows)
        above = self._mixed(upper * columns, left, right, across)
        below = self._mixed(lower * columns, left, right, across)
        below -= above
        below *= down
        above += below
        return above

    def _mixed(
        self,
        row: NDArray[np.intp],
        left: NDArray[np.intp],
        right: NDArray[np.intp],
        share: Float32Array,
    ) -> Float32Array:
        colours = self.colours.take(row + left, axis=0)
        difference = self.colours.take(row + right, axis=0)
        difference -= colours
        difference *= share
        colours += difference
        return colours


def _neighbours(
    position: NDArray[np.floating[Any]], count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Float32Array]:
    """Return the cells on both sides of positions [n] on a side, and the second one's share [n, 1].

    The centre of cell 0 is at 0.5.
    """
    position = np.clip(position - 0.5, 0, count - 1)
    first = position.astype(np.intp)
    share = (position - first).astype(np.float32)
    return first, np.minimum(first + 1, count - 1), share[:, np.newaxis]


def estimate(rgb: Image.Image, matte: Image.Image) -> Foreground | None:
    """Estimate the foreground of a mode RGB image with its matte (mode L, the same size).

    None if the matte has no subject.
    """
    box = _box_around(matte)
    if box is None:
        return None
    grid = shrunk(box_size(box), GRID_SIDE)
    colours = np.asarray(rgb.resize(grid, Image.Resampling.BOX, box, REDUCING_GAP), np.float32)
    opacity = np.asarray(matte.resize(grid, Image.Resampling.BOX, box, REDUCING_GAP), np.float32)
    opacity /= OPAQUE
    planes = np.ascontiguousarray(colours.transpose(2, 0, 1))
    layers = [_spread(planes, _weights(share)) for share in (opacity, 1 - opacity)]
    by_cell = np.ascontiguousarray(np.concatenate(layers).reshape(6, -1).T)
    return Foreground(box, grid, by_cell)


def _box_around(matte: Image.Image) -> Box | None:
    """Return the subject's box with a margin in which there is background, or None."""
    box = matte.getbbox()
    if box is None:
        return None
    margin = max(2, max(box_size(box)) // 20)
    left, top, right, bottom = box
    return (
        max(0, left - margin), max(0, top - margin),
        min(matte.width, right + margin), min(matte.height, bottom + margin),
    )  # fmt: skip


def _weights(share: Float32Array) -> Float32Array:
    """Return how much cells say about the colour of a layer of which they hold a share, 0..1."""
    weights: Float32Array = np.square(np.clip((share - MIN_OPACITY) / (1 - MIN_OPACITY), 0, 1))
    weights += MIN_WEIGHT
    return weights


def _spread(colours: Float32Array, weights: Float32Array) -> Float32Array:
    """Return colours, float32 [3, rows, columns], filled in from around where weights are small.

    Weighted means over 2 x 2, 4 x 4 ... cells fill in what finer ones lack (Gortler et al., "The
    Lumigraph", 1996, section 3.4). `weights` is float32 [rows, columns], 0..1.
    """
    pyramid = [np.concatenate([colours, np.ones_like(weights)[np.newaxis]])]
    pyramid[0] *= weights
    while max(pyramid[-1].shape[1:]) > 1:
        pyramid.append(_halved(pyramid[-1]))
    top = pyramid.pop()
    spread: Float32Array = top[:3] / top[3]
    for level in reversed(pyramid):
        coarser = _doubled(spread, level.shape[1:])
        spread = (level[:3] + SPREAD_WEIGHT * coarser) / (level[3] + SPREAD_WEIGHT)
    return spread


def _halved(values: Float32Array) -> Float32Array:
    """Return the means of 2 x 2 cells: float32 [n, rows / 2, columns / 2], sides rounded up."""
    for axis in (1, 2):
        if values.shape[axis] % 2:
            values = np.concatenate([values, values.take([-1], axis)], axis)
        even, odd = values[:, ::2], values[:, 1::2]
        if axis == 2:  # noqa: PLR2004
            even, odd = values[..., ::2], values[..., 1::2]
        values = (even + odd) * np.float32(0.5)
    return values


def _doubled(values: Float32Array, shape: tuple[int, ...]) -> Float32Array:
    """Return float32 [n, *shape], twice as many cells a side, bilinearly interpolated."""
    for axis, size in enumerate(shape, start=1):
        positions = (np.arange(size) + 0.5) / 2
        first, second, share = _neighbours(positions, values.shape[axis])
        low, high = values.take(first, axis), values.take(second, axis)
        values = low + (high - low) * (share if axis == 1 else share[:, 0])
    return values
