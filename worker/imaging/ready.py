"""Photographs that need no network: cut out already, or on plain white."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from worker.imaging.decode import Photograph
from worker.imaging.matting import Matte
from worker.imaging.plain_background import BLOCK, STRIP_PIXELS, reached_from_sides

TRANSPARENT, OPAQUE = 8, 247
"""Alpha, 0..255, up to which a pixel is transparent, and from which it is opaque."""
SOLID = 255
"""Alpha of a subject."""
MIN_TRANSPARENT_FRAME = 0.5
"""Share of the pixels along the frame of a photograph that is cut out already."""
MIN_SUBJECT, MAX_SUBJECT = 0.005, 0.95
"""Share of the photograph that a subject covers. Outside, the network decides."""
MIN_WHITE = 250
"""Lowest channel, 0..255, of a pixel of a plain white background: compression changes some."""


def ready_matte(photograph: Photograph, *, on_white: bool) -> Matte | None:
    """Return the matte of a photograph that is only to be framed, or None: the network decides.

    `on_white`: all outputs are on white, so that a matte may have a white fringe.
    """
    if photograph.alpha is not None:
        if not _is_cut_out(photograph.alpha):
            return None
        return Matte(Image.new("L", photograph.size, SOLID), source="transparency")
    matte = _on_white(photograph.rgb) if on_white and not photograph.icc_profile else None
    return Matte(matte, source="white") if matte else None


def _is_cut_out(alpha: Image.Image) -> bool:
    """Return whether a photograph's own alpha leaves a subject, with nothing around it."""
    histogram = alpha.histogram()
    opaque = sum(histogram[OPAQUE:]) / (alpha.width * alpha.height)
    values = np.asarray(alpha)
    frame = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    clear = float((frame <= TRANSPARENT).mean())
    return MIN_SUBJECT <= opaque <= MAX_SUBJECT and clear >= MIN_TRANSPARENT_FRAME


def _on_white(rgb: Image.Image) -> Image.Image | None:
    """Return the matte of a subject on plain white, in blocks; None if the background is not.

    What is white inside of the subject belongs to it, unless it is connected with the background.
    """
    white = _darkest_of_blocks(rgb) >= MIN_WHITE
    if not (white[[0, -1]].all() and white[:, [0, -1]].all()):
        return None
    subject = ~reached_from_sides(white)
    if not MIN_SUBJECT <= float(subject.mean()) <= MAX_SUBJECT:
        return None
    blocks = Image.fromarray(subject.astype(np.uint8) * SOLID)
    size = (blocks.width * BLOCK, blocks.height * BLOCK)
    return blocks.resize(size, Image.Resampling.NEAREST).crop((0, 0, *rgb.size))


def _darkest_of_blocks(rgb: Image.Image) -> NDArray[np.uint8]:
    """Return the lowest channel of each block of 8 x 8 pixels: uint8 [block rows, columns]."""
    width, height = rgb.size
    step, strips = BLOCK * max(1, STRIP_PIXELS // (width * BLOCK)), []
    for top in range(0, height, step):
        red, green, blue = rgb.crop((0, top, width, min(top + step, height))).split()
        values = np.asarray(ImageChops.darker(ImageChops.darker(red, green), blue))
        padding = ((0, -values.shape[0] % BLOCK), (0, -width % BLOCK))
        padded = np.pad(values, padding, constant_values=255)
        strips.append(padded.reshape(len(padded) // BLOCK, BLOCK, -1, BLOCK).min(axis=(1, 3)))
    darkest: NDArray[np.uint8] = np.concatenate(strips)
    return darkest
