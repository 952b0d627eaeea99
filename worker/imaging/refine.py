"""Fits a network's matte to the photograph's edges, at full resolution and in bounded memory.

The colour guided filter is computed on two small grids, coarse to fine. Only its factors are
enlarged, tile by tile, and applied to the photograph's own pixels ("Fast Guided Filter", He and
Sun, 2015). Tiles in which the matte is constant are filled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from PIL import Image

from worker.imaging.arrays import Float32Array, Uint8Array
from worker.imaging.guided_filter import coefficients
from worker.imaging.layout import Box, Size, box_size, shrunk

TILE = 16
"""Side of a tile, in pixels of the grid. At least twice the filter's radius and two more, so that a
tile is constant if its own matte and its neighbours' are."""
BAND_TILES = 6
"""Rows of tiles that are filtered at a time: their planes stay in the CPU's cache."""
REDUCING_GAP = 2.0
"""As for the network's input: see `worker.imaging.u2net`."""
OPAQUE = 255
HAZE = 6
"""Opacity of 255 below which a network's matte counts as empty, and likewise at the other end."""
BILINEAR = Image.Resampling.BILINEAR
MAX_RUN_PIXELS = 1 << 22
"""Pixels that are computed at a time, of 26 bytes each, in images many times as wide as high."""
EMPTY, SOFT, SOLID = range(3)
"""What a tile's matte is: 0 everywhere, to be computed, 1 everywhere."""


@dataclass(frozen=True, slots=True)
class Level:
    """A grid on which the guided filter is computed, and its parameters."""

    side: int
    """pixels of the grid's longer side, unless the photograph has fewer"""
    radius: int
    """of the filter's windows, in pixels of the grid; less if the photograph is smaller than the
    finest grid, or they would span more of it"""
    eps: float
    """variance of colours, 0..1, below which edges in the photograph are ignored"""
    slack: float
    """The result is stretched from slack..1 - slack to 0..1: filters never quite reach the ends."""


LEVELS = (Level(320, 6, 1e-4, 0.15), Level(640, 6, 1e-5, 0.1))


def refine(rgb: Image.Image, matte: Float32Array, box: Box) -> Image.Image:
    """Return a mode RGB image's refined matte: mode L, 0..255, of its size.

    `matte` is the network's view of the box: float32 [rows, columns], 0..255. Outside of the box
    everything is background.
    """
    refined = np.zeros((rgb.height, rgb.width), np.uint8)
    left, top, right, bottom = box
    finest = _shrunk(rgb, box, LEVELS[-1].side)
    coarser = [_shrunk(finest, (0, 0, *finest.size), level.side) for level in LEVELS[:-1]]
    guides = [*coarser, finest]
    fullness = max(finest.size) / LEVELS[-1].side
    current = _certain(matte)
    for number, (level, guide) in enumerate(zip(LEVELS, guides, strict=True)):
        on_grid = np.asarray(Image.fromarray(current).resize(guide.size, BILINEAR))
        radius = max(1, round(level.radius * fullness))
        kinds = _tile_kinds(on_grid)
        factors = _factors(np.asarray(guide), on_grid, kinds, radius, level.eps)
        if guide is finest:
            _apply(factors, kinds, level, rgb, box, refined[top:bottom, left:right])
        else:
            finer = guides[number + 1]
            current = np.zeros(finer.size[::-1], np.float32)
            _apply(factors, kinds, level, finer, (0, 0, *finer.size), current)
    return Image.frombuffer("L", rgb.size, refined, "raw", "L", 0, 1)


def _shrunk(rgb: Image.Image, box: Box, side: int) -> Image.Image:
    """Return a box of an image, averaged down until its longer side is at most `side`."""
    return rgb.resize(shrunk(box_size(box), side), Image.Resampling.BOX, box, REDUCING_GAP)


def _certain(matte: Float32Array) -> Float32Array:
    """Return a network's matte, 0..255, stretched: hardly any of its values are exactly 0."""
    stretched: Float32Array = (matte - HAZE) * np.float32(OPAQUE / (OPAQUE - 2 * HAZE))
    return np.clip(stretched, 0, OPAQUE, out=stretched)


def _factors(
    guide: Uint8Array, matte: Float32Array, kinds: Uint8Array, radius: int, eps: float
) -> Float32Array:
    """Return the filter's factors, float32 [4, rows, columns], computed where the matte is soft."""
    factors = np.zeros((4, *matte.shape), np.float32)
    factors[3] = matte
    for box in _soft_boxes(kinds, matte.shape):
        left, top, right, bottom = box
        factors[:, top:bottom, left:right] = coefficients(guide, matte, radius, eps, box)
    return factors


def _soft_boxes(kinds: Uint8Array, shape: tuple[int, ...]) -> Iterator[Box]:
    """Yield boxes of a grid that hold its soft tiles, and a pixel around to interpolate from.

    `shape`: the grid's (rows, columns). Other tiles are constant, and not filtered.
    """
    soft = kinds == SOFT
    for first in range(0, len(soft), BAND_TILES):
        band = soft[first : first + BAND_TILES]
        columns = np.pad(band.any(axis=0), 1)
        # a gap of one tile is narrower than what the filter reads around two boxes
        columns[1:-1] |= columns[:-2] & columns[2:]
        for left, right in np.flatnonzero(columns[1:] != columns[:-1]).reshape(-1, 2).tolist():
            rows = np.flatnonzero(band[:, left:right].any(axis=1)) + first
            top, bottom = rows[0], rows[-1] + 1
            yield (
                max(0, left * TILE - 1), max(0, top * TILE - 1),
                min(shape[1], right * TILE + 1), min(shape[0], bottom * TILE + 1),
            )  # fmt: skip


class Run(NamedTuple):
    """Neighbouring tiles of one row and kind, in pixels of the image to refine."""

    kind: int
    box: Box


def _apply(
    factors: Float32Array,
    kinds: Uint8Array,
    level: Level,
    image: Image.Image,
    box: Box,
    out: Uint8Array | Float32Array,
) -> None:
    """Apply the filter's factors to the pixels of a box of a mode RGB image.

    `factors` is float32 [4, rows, columns] as from `coefficients`, of a grid; `kinds` are those of
    its tiles. The result, 0..255, goes to `out`, [height of the box, width of the box], which is
    zero.
    """
    scale = np.float32(1 / (1 - 2 * level.slack))
    factors *= scale
    factors[3] += np.float32(0.5 - OPAQUE * level.slack * scale)  # 0.5: cut off, so as to round
    planes = [Image.fromarray(plane) for plane in factors]
    height, width = out.shape
    rows, columns = factors.shape[1:]
    for kind, run in _runs(kinds, (columns, rows), (width, height)):
        x, y, x_end, y_end = run
        if kind == SOLID:
            out[y:y_end, x:x_end] = OPAQUE
        if kind != SOFT:
            continue
        across, down = columns / width, rows / height
        on_grid = (x * across, y * down, x_end * across, y_end * down)
        red, green, blue, offset = (
            np.asarray(plane.resize(box_size(run), BILINEAR, on_grid)) for plane in planes
        )
        part = (box[0] + x, box[1] + y, box[0] + x_end, box[1] + y_end)
        pixels = np.asarray(image.crop(part))
        values = offset + red * pixels[..., 0]
        values += green * pixels[..., 1]
        values += blue * pixels[..., 2]
        out[y:y_end, x:x_end] = np.clip(values, 0, 255, out=values)


def _runs(kinds: Uint8Array, grid: Size, size: Size) -> Iterator[Run]:
    """Divide an image of a size into runs of tiles of a grid that are equal in kind."""
    longest = max(1, MAX_RUN_PIXELS * kinds.size // (size[0] * size[1]))
    ys = _tile_edges(len(kinds), grid[1], size[1])
    xs = _tile_edges(kinds.shape[1], grid[0], size[0])
    for number, row in enumerate(kinds.tolist()):
        start = 0
        for kind, tiles in groupby(row):
            last = start + len(list(tiles))
            while start < last:
                end = min(start + longest, last)
                run = Run(kind, (xs[start], ys[number], xs[end], ys[number + 1]))
                start = end
                if all(box_size(run.box)):  # a long and narrow image may be less than a tile wide
                    yield run


def _tile_edges(tiles: int, cells: int, pixels: int) -> list[int]:
    """Return where tiles begin and end, in pixels, along a side of a grid of `cells`."""
    return [round(min(tile * TILE, cells) * pixels / cells) for tile in range(tiles + 1)]


def _tile_kinds(matte: Float32Array) -> Uint8Array:
    """Return uint8 [tile rows, tile columns]: EMPTY, SOFT or SOLID, from float32 0..255."""
    rows, columns = matte.shape
    padded = np.pad(matte, ((0, -rows % TILE), (0, -columns % TILE)), "edge")
    tiles = padded.reshape(len(padded) // TILE, TILE, -1, TILE)
    # rows first: over both axes at once, NumPy takes ten times as long
    lowest = _of_neighbours(np.minimum, tiles.min(axis=1).min(axis=-1))
    highest = _of_neighbours(np.maximum, tiles.max(axis=1).max(axis=-1))
    return np.where(highest <= 0, EMPTY, np.where(lowest >= OPAQUE, SOLID, SOFT)).astype(np.uint8)


def _of_neighbours(extreme: np.ufunc, values: Float32Array) -> Float32Array:
    """Return the minimum or maximum of each value and its eight neighbours, float32 [r, c]."""
    for axis in (0, 1):
        padded = np.pad(values, [(int(axis == 0),) * 2, (int(axis == 1),) * 2], "edge")
        count = values.shape[axis]
        shifted = [padded.take(range(k, k + count), axis) for k in range(3)]
        values = extreme(extreme(shifted[0], shifted[1]), shifted[2])
    return values
