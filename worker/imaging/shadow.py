"""A soft contact shadow under a subject: it keeps a product from floating on its background.

The shadow follows the subject's underside: dark where it touches the ground, softer and wider
around. It is computed on a small grid and enlarged strip by strip, in bounded memory.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.imaging.arrays import BoolArray, Float32Array, Uint8Array
from worker.imaging.background import over_shadow
from worker.imaging.layout import Box, Size
from worker.imaging.subject import subject_box

# Lengths without another unit are in shares of the subject's extent: the square root of the area of
# its box. They were chosen by eye, on the photographs that docs/quality.md shows.

GRID = 256
"""Cells of the grid per extent."""
MAX_CELLS = 1024
"""Longest side of the grid, in cells."""
REACH = 0.3
"""The grid extends this far to both sides of the subject and below it."""
HEIGHT = 0.6
"""Share of the subject's height, from below, in which its underside is looked for."""
TOUCH = 0.08
"""An underside up to this far above the lowest point touches the ground, which is seen from above.
Under higher parts, the ground is a line between the points of contact on both sides."""
FOOT = 0.15
"""A foot up to this far above the lowest point stands farther back and touches the ground too."""
FOOT_WINDOW = 0.06
"""A foot is the lowest part within this distance to both sides."""
SOLID = 128
"""Alpha, 0..255, from which a cell belongs to the subject."""
MIN_OPACITY = 0.5 / 255
"""Less than this, 0..1, cannot be seen."""
MAX_CUT = 0.2
"""Share of the subject's width that may touch the photograph's lower edge. If more does, the
subject goes on below, and there is no ground on which to draw a shadow."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One of the blurred images of the underside that add up to the shadow."""

    opacity: float
    """0..1, under a long straight underside"""
    across: float
    """standard deviation of the blur across"""
    down: float
    """the same, down"""
    lift: float
    """height above the ground at which the underside no longer throws this layer"""


LAYERS = (
    Layer(0.60, 0.008, 0.006, 0.12),
    Layer(0.45, 0.030, 0.015, 0.25),
    Layer(0.40, 0.080, 0.035, 0.60),
)
"""From the sharp dark line of contact to the wide halo."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """A black shadow on a canvas."""

    opacity: Float32Array
    """[rows, columns], 0..1"""
    box: Box
    """the grid's place on the canvas; it may extend beyond it"""

    def under(self, pixels: Uint8Array, top: int) -> Uint8Array:
        """Return a strip of the canvas with the shadow under it.

        `pixels` and the result are uint8 [height, width, 4], RGBA with straight alpha, 0..255;
        `top` is the first row's place on the canvas.
        """
        height, width = pixels.shape[:2]
        shown = self._shown()
        first, end = max(0, shown[1] - top), min(height, shown[3] - top)
        left, right = max(0, shown[0]), min(width, shown[2])
        if first >= end or left >= right:
            return pixels
        opacity = _enlarged(
            self.opacity,
            _places(first + top - self.box[1], end + top - self.box[1], self.box[3] - self.box[1]),
            _places(left - self.box[0], right - self.box[0], self.box[2] - self.box[0]),
        )
        shaded = pixels.copy()
        shaded[first:end, left:right] = over_shadow(pixels[first:end, left:right], opacity)
        return shaded

    def _shown(self) -> Box:
        """Return the part of the canvas in which the shadow can be seen."""
        visible = Image.fromarray(self.opacity >= MIN_OPACITY).getbbox()
        if visible is None:
            return (0, 0, 0, 0)
        left, top, right, bottom = self.box
        across = (right - left) / self.opacity.shape[1]
        down = (bottom - top) / self.opacity.shape[0]
        # interpolation reaches half a cell further
        return (
            left + math.floor((visible[0] - 1) * across), top + math.floor((visible[1] - 1) * down),
            left + math.ceil((visible[2] + 1) * across), top + math.ceil((visible[3] + 1) * down),
        )  # fmt: skip


def contact_shadow(alpha: Image.Image, corner: Size, *, cut: bool) -> Shadow | None:
    """Return the shadow of a subject whose alpha (mode L, 0..255) is at a corner of the canvas.

    `cut`: the lower edge of `alpha` is that of the photograph. None without a subject, for one that
    goes on below the photograph, and for one that is translucent in its lower part.
    """
    box = subject_box(alpha)
    if box is None or (cut and _goes_on_below(alpha, box)):
        return None
    left, _, right, bottom = box
    width, height = right - left, bottom - box[1]
    extent = math.sqrt(width * height)
    reach = math.ceil(REACH * extent)
    region = (left - reach, bottom - math.ceil(HEIGHT * height), right + reach, bottom + reach)
    sides = region[2] - region[0], region[3] - region[1]
    cells = min(GRID / extent, MAX_CELLS / max(sides), 1)
    grid = max(1, round(sides[0] * cells)), max(1, round(sides[1] * cells))
    unit = extent * cells
    subject = _on_grid(alpha, region, grid)
    if subject.max() < SOLID:
        return None
    ground, lift = _ground(subject, (bottom - region[1]) * cells, unit)
    clear = np.ones(grid[::-1])
    for layer in LAYERS:
        marks = np.zeros(grid[::-1])
        marks[ground, np.arange(grid[0])] = np.clip(1 - lift / layer.lift, 0, 1)
        clear *= 1 - _cast(marks, layer, unit)
    placed = (
        region[0] + corner[0], region[1] + corner[1], region[2] + corner[0], region[3] + corner[1],
    )  # fmt: skip
    return Shadow((1 - clear).astype(np.float32), placed)


def _goes_on_below(alpha: Image.Image, box: Box) -> bool:
    left, _, right, bottom = box
    if bottom < alpha.height:
        return False
    lowest = np.asarray(alpha.crop((left, bottom - 1, right, bottom)))
    return bool((lowest >= SOLID).mean() > MAX_CUT)


def _on_grid(alpha: Image.Image, region: Box, grid: Size) -> Uint8Array:
    """Return a region, which may extend beyond the image, on a grid: uint8 [rows, columns]."""
    inside = (
        max(0, region[0]), max(0, region[1]),
        min(alpha.width, region[2]), min(alpha.height, region[3]),
    )  # fmt: skip
    across, down = grid[0] / (region[2] - region[0]), grid[1] / (region[3] - region[1])
    corner = round((inside[0] - region[0]) * across), round((inside[1] - region[1]) * down)
    size = (
        max(1, round((inside[2] - region[0]) * across) - corner[0]),
        max(1, round((inside[3] - region[1]) * down) - corner[1]),
    )
    canvas = Image.new("L", grid, 0)
    canvas.paste(alpha.resize(size, Image.Resampling.BOX, inside), corner)
    return np.asarray(canvas)


def _ground(
    alpha: Uint8Array, base: float, unit: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the row of the ground in each column, and the subject's height above it, in units.

    `alpha` has a solid cell. `base` is the row below the lowest point, `unit` the extent in cells.
    Columns without a subject have an infinite height.
    """
    rows, columns = alpha.shape
    solid = alpha >= SOLID
    present = np.flatnonzero(solid.any(axis=0))
    underside = rows - np.argmax(solid[::-1, present], axis=0)
    if base - underside.max() > FOOT * unit:
        base = float(underside.max())  # what is farther down is translucent: a reflection, say
    touches = (base - underside <= TOUCH * unit) | (
        (base - underside <= FOOT * unit) & _is_lowest(underside, round(FOOT_WINDOW * unit))
    )
    ground = np.rint(np.interp(np.arange(columns), present[touches], underside[touches]))
    lift = np.full(columns, np.inf)
    lift[present] = np.maximum(ground[present] - underside, 0) / unit
    return np.minimum(ground.astype(np.intp), rows - 1), lift


def _is_lowest(underside: NDArray[np.intp], window: int) -> BoolArray:
    """Return where no row within `window` columns to both sides is farther down."""
    padded = np.pad(underside, window)
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * window + 1).max(axis=1)
    flags: BoolArray = underside == lowest
    return flags


def _cast(marks: NDArray[np.float64], layer: Layer, unit: float) -> NDArray[np.float64]:
    """Return the opacity of a layer, [rows, columns], 0..1, whose cells of ground are marked."""
    across, down = layer.across * unit, max(layer.down * unit, 0.5)
    blurred = _blurred(_blurred(marks, across, 1), down, 0)
    # so that a long line has the layer's opacity, however much it is blurred
    cast: NDArray[np.float64] = layer.opacity * np.minimum(blurred * down * math.sqrt(2 * np.pi), 1)
    return cast


def _blurred(values: NDArray[np.float64], sigma: float, axis: int) -> NDArray[np.float64]:
    """Blur along an axis by three running means, which are nearly a Gaussian of this sigma.

    A mean over 2 sigma has a variance of sigma^2 / 3. Its ends may lie within a cell.
    """
    margin, count = math.ceil(sigma) + 1, values.shape[axis]
    margins = [(0, 0), (0, 0)]
    margins[axis] = (margin, margin)
    for _ in range(3):
        sums = np.pad(values, margins).cumsum(axis)
        ends = [margin + 0.5 + sigma, margin + 0.5 - sigma]
        high, low = (_sum_before(sums, end, count, axis) for end in ends)
        values = (high - low) / (2 * sigma)
    return values


def _sum_before(
    sums: NDArray[np.float64], place: float, count: int, axis: int
) -> NDArray[np.float64]:
    """Return the integrals up to `place`, place + 1 ... of values whose running sums are given."""
    cell = int(place)
    before = sums.take(np.arange(cell - 1, cell - 1 + count), axis)
    after = sums.take(np.arange(cell, cell + count), axis)
    integral: NDArray[np.float64] = before + (after - before) * (place - cell)
    return integral


def _places(start: int, end: int, whole: int) -> NDArray[np.float64]:
    """Return the centres of pixels start..end of a side of `whole` pixels, 0..1."""
    return (np.arange(start, end) + 0.5) / whole


def _enlarged(
    grid: Float32Array, down: NDArray[np.float64], across: NDArray[np.float64]
) -> Uint8Array:
    """Return the grid at places, 0..1, interpolated: uint8 [len(down), len(across)], 0..255."""
    rows = _interpolated(grid, down, 0)
    return np.rint(_interpolated(rows, across, 1) * 255).astype(np.uint8)


def _interpolated(values: Float32Array, places: NDArray[np.float64], axis: int) -> Float32Array:
    count = values.shape[axis]
    position = np.clip(places * count - 0.5, 0, count - 1)
    first = position.astype(np.intp)
    share = (position - first).astype(np.float32)
    share = share[:, np.newaxis] if axis == 0 else share[np.newaxis]
    low, high = values.take(first, axis), values.take(np.minimum(first + 1, count - 1), axis)
    interpolated: Float32Array = low + (high - low) * share
    return interpolated
