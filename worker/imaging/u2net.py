"""Pre- and postprocessing of U²-Net: a photograph to the network's input, its output to a matte.

Both follow the reference code of U²-Net (Qin et al., 2020): `ToTensorLab` in data_loader.py and
`normPRED` in u2net_test.py.
"""

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
from PIL import Image

from worker.imaging.arrays import Float32Array, Uint8Array
from worker.imaging.lanczos import Tile, resize, round_and_clip, tiles, weighted_tiles
from worker.imaging.layout import Box


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Per channel: (pixel / the image's own maximum - mean) / std."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's photographs, as the U²-Net models were trained with."""
CENTRED = Normalisation((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
"""As the IS-Net models (DIS, Qin et al., 2022) were trained with."""
MIN_RANGE = 1e-6
"""An output with a smaller range is constant. Also the smallest maximum an input is divided by."""

REDUCING_GAP = 2.0
"""Large photographs are first averaged by a whole factor, down to at least this many times the
network's side, then resized by LANCZOS: five times as fast at 10 MP. The masks agree with those of
LANCZOS alone at IoU 0.99."""

NOT_CONSTANT = -1
"""Stands for the value of a tile whose samples differ."""


def network_input(
    rgb: Image.Image, side: int, normalisation: Normalisation, box: Box | None = None
) -> Float32Array:
    """Return a mode RGB image as float32 [1, 3, side, side], normalised: about -2.2..2.7.

    The box, by default the whole image, is resized to a square by LANCZOS, without padding.
    """
    resized = rgb.resize(
        (side, side), Image.Resampling.LANCZOS, box, reducing_gap=REDUCING_GAP
    )  # fmt: skip
    small = np.asarray(resized)
    # 8-bit values have only 256 results, so they are looked up
    scaled = np.arange(256, dtype=np.float32) / max(float(small.max()), MIN_RANGE)
    mean, std = np.array(normalisation.mean, np.float32), np.array(normalisation.std, np.float32)
    tables = ((scaled[:, np.newaxis] - mean) / std).T
    return np.stack([np.take(table, small[..., c]) for c, table in enumerate(tables)])[np.newaxis]


def stretched(saliency: Float32Array) -> Float32Array:
    """Return the network's matte: float32 [side, side], stretched to 0..255.

    `saliency` is the network's first output, float32 [side, side] of any range. A constant one has
    no subject: the matte is zero.
    """
    low, high = float(saliency.min()), float(saliency.max())
    if not MIN_RANGE < high - low < float("inf"):  # written so that NaN counts as constant
        return np.zeros_like(saliency)
    matte: Float32Array = (saliency - low) * (255.0 / (high - low))
    return matte


def enlarged(matte: Float32Array, size: tuple[int, int]) -> Image.Image:
    """Return a network's matte, float32 [rows, columns], 0..255, as mode L of `size`."""
    if not matte.any():
        return Image.new("L", size, 0)
    rounded = np.rint(matte).astype(np.uint8)
    (rows, columns), (width, height) = rounded.shape, size
    # columns first if only the height shrinks: Pillow does rows first, but the intermediate image
    # is smaller this way and the values are nearly the same
    if height < rows and columns <= width:
        resized = np.ascontiguousarray(_resized(rounded.T, height, width).T)
    else:
        resized = _resized(rounded, width, height)
    return Image.frombuffer("L", size, resized, "raw", "L", 0, 1)


def _resized(small: Uint8Array, width: int, height: int) -> Uint8Array:
    """Resize uint8 [rows, columns] to uint8 [height, width] by LANCZOS, horizontally first.

    All values are 0..255. Tiles whose samples are all equal are filled instead of computed:
    background and the inside of the subject, most of a product photograph.
    """
    rows, columns = small.shape
    row_tiles, column_tiles = tiles(height, rows), tiles(width, columns)
    low = _by_tile(np.minimum, _by_tile(np.minimum, small, row_tiles).T, column_tiles).T
    high = _by_tile(np.maximum, _by_tile(np.maximum, small, row_tiles).T, column_tiles).T
    values = np.where(low == high, low.astype(np.int16), NOT_CONSTANT).tolist()
    widened = resize(small.T.astype(np.float32), width).T
    resized = np.zeros((height, width), np.uint8)
    for (tile, weights), tile_values in zip(weighted_tiles(height, rows), values, strict=True):
        for value, run in groupby(zip(column_tiles, tile_values, strict=True), key=itemgetter(1)):
            equal = [column_tile for column_tile, _ in run]
            left, right = equal[0].start, equal[-1].stop
            if value == NOT_CONSTANT:
                samples = widened[tile.first_sample : tile.end_sample, left:right]
                resized[tile.start : tile.stop, left:right] = round_and_clip(weights @ samples)
            elif value:
                resized[tile.start : tile.stop, left:right] = value
    return resized


def _by_tile(extreme: np.ufunc, values: Uint8Array, tiles: list[Tile]) -> Uint8Array:
    """Return the minimum or maximum of each tile's samples, down each column.

    From uint8 [samples, columns] to uint8 [tiles, columns], 0..255.
    """
    edges = [edge for tile in tiles for edge in (tile.first_sample, tile.end_sample)]
    with_sentinel = np.concatenate([values, values[-1:]])  # `reduceat` needs a row at the end
    extremes: Uint8Array = extreme.reduceat(with_sentinel, edges, axis=0)[::2]
    return extremes
