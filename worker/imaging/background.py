"""Lays a cut-out over a background, a colour or an image, in integer arithmetic."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.imaging.arrays import Uint8Array
from worker.imaging.colour import OPAQUE, Colour

ALPHA_UNIT = 1 << 24
"""One level of alpha in an RGBA pixel that is read as a little-endian uint32."""
FAINT_ALPHA = 8
"""Alpha of 255 up to which a pixel counts as background on an opaque colour.

Mattes have haze of a few levels far from the subject, which would make white 254 there. At a soft
edge the step is less than 3 % of the contrast.
"""


def without_faint(pixels: Uint8Array) -> Uint8Array:
    """Return RGBA pixels, uint8 [height, width, 4], of which the faint ones are transparent."""
    colours = pixels.view("<u4")
    opaque = np.multiply(colours, colours >= (FAINT_ALPHA + 1) * ALPHA_UNIT)
    cleared: Uint8Array = opaque.view(np.uint8)
    return cleared


def over_background(pixels: Uint8Array, colour: Colour) -> Uint8Array:
    """Return the pixels over a colour: Porter and Duff's `over` (1984), rounded to the nearest.

    `pixels` and the result are uint8 [height, width, 4], RGBA with straight alpha, 0..255.
    """
    behind = np.array(colour[:3], np.uint16)
    if colour[3] == OPAQUE:
        return over_opaque(pixels, behind)
    result = np.empty_like(pixels)
    alpha = pixels[..., 3:].astype(np.uint16)
    above, below = alpha * OPAQUE, colour[3] * (OPAQUE - alpha)
    both = (above + below).astype(np.uint32)
    blend = pixels[..., :3] * above.astype(np.uint32) + behind * below.astype(np.uint32)
    result[..., :3] = (blend + both // 2) // np.maximum(both, 1)
    result[..., 3:] = _divide_by_255(above + below)
    result[result[..., 3] == 0] = 0  # no hidden colour under full transparency
    return result


def over_opaque(pixels: Uint8Array, behind: NDArray[np.integer]) -> Uint8Array:
    """Return the pixels over opaque colours: RGB, 0..255, one or [height, width, 3]."""
    # Pillow's paste rounds as `_divide_by_255` does, and is ten times as fast as NumPy
    image = Image.fromarray(pixels)
    if behind.ndim == 1:
        below = Image.new("RGBA", image.size, (*map(int, behind), OPAQUE))
    else:
        below = Image.fromarray(behind.astype(np.uint8)).convert("RGBA")
    below.paste(image, mask=image.getchannel("A"))
    below.putalpha(OPAQUE)
    return np.asarray(below)


def over_shadow(pixels: Uint8Array, opacity: Uint8Array) -> Uint8Array:
    """Return the pixels over black of an opacity, 0..255, [height, width]; else as above."""
    result = np.empty_like(pixels)
    alpha = pixels[..., 3:].astype(np.uint16)
    above = (alpha * OPAQUE).astype(np.uint32)
    both = above + opacity[..., np.newaxis] * (OPAQUE - alpha)
    result[..., :3] = (pixels[..., :3] * above + both // 2) // np.maximum(both, 1)
    result[..., 3:] = _divide_by_255(both.astype(np.uint16))
    result[result[..., 3] == 0] = 0
    return result


def covering(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the middle of an image (mode RGB) in another size, which it fills."""
    factor = min(old / new for old, new in zip(image.size, size, strict=True))
    width, height = (min(side * factor, own) for side, own in zip(size, image.size, strict=True))
    left, top = (image.width - width) / 2, (image.height - height) / 2
    box = (left, top, left + width, top + height)
    return image.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=2)


def _divide_by_255(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Divide uint16 of any shape, 0..65025, by 255 in place, rounded to the nearest.

    Without a division: Blinn, "Three Wrongs Make a Right", IEEE Computer Graphics and Applications
    15(6), 1995.
    """
    values += 128
    values += values >> np.uint16(8)
    values >>= np.uint16(8)
    return values
