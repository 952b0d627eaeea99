"""Lays a cut-out over a background colour, in integer arithmetic."""

import numpy as np
from numpy.typing import NDArray

from worker.imaging.arrays import Uint8Array
from worker.imaging.colour import OPAQUE, Colour


def over_background(pixels: Uint8Array, colour: Colour) -> Uint8Array:
    """Return the pixels over a colour: Porter and Duff's `over` (1984), rounded to the nearest.

    `pixels` and the result are uint8 [height, width, 4], RGBA with straight alpha, 0..255.
    """
    result = np.empty_like(pixels)
    alpha = pixels[..., 3:].astype(np.uint16)
    behind = np.array(colour[:3], np.uint16)
    if colour[3] == OPAQUE:
        result[..., :3] = _divide_by_255(pixels[..., :3] * alpha + behind * (OPAQUE - alpha))
        result[..., 3] = OPAQUE
        return result
    above, below = alpha * OPAQUE, colour[3] * (OPAQUE - alpha)
    both = (above + below).astype(np.uint32)
    blend = pixels[..., :3] * above.astype(np.uint32) + behind * below.astype(np.uint32)
    result[..., :3] = (blend + both // 2) // np.maximum(both, 1)
    result[..., 3:] = _divide_by_255(above + below)
    result[result[..., 3] == 0] = 0  # no hidden colour under full transparency
    return result


def _divide_by_255(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Divide uint16 of any shape, 0..65025, by 255 in place, rounded to the nearest.

    Without a division: Blinn, "Three Wrongs Make a Right", IEEE Computer Graphics and Applications
    15(6), 1995.
    """
    values += 128
    values += values >> np.uint16(8)
    values >>= np.uint16(8)
    return values
