"""Photograph and matte become a cut-out with straight alpha."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageStat

from worker.imaging.decode import Photograph

Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""left, top, right, bottom, in pixels; the last two are just outside."""

COUNTED = 640
"""About so many pixels of a side tell the mean alpha of more: to 0.0003 at 10 MP."""
OPAQUE_BIT = 1 << 24
"""An RGBA pixel read as a little-endian number is below this where its alpha is zero."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """A photograph and its alpha. The two are joined strip by strip, as they are written."""

    photograph: Photograph
    alpha: Image.Image
    """mode L, of the photograph's size"""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.photograph.size

    @property
    def foreground(self) -> float:
        """The mean alpha, 0..1; where pixels are many, of the middle one of each few."""
        width, height = (side // (side // COUNTED | 1) for side in self.alpha.size)
        spread = self.alpha.resize((width, height), Image.Resampling.NEAREST)
        return ImageStat.Stat(spread).mean[0] / 255

    def rows(self, top: int, bottom: int) -> Bytes:
        """Return uint8 [bottom - top, width, 4], straight alpha."""
        return self.part((0, top, self.size[0], bottom))

    def part(self, box: Box) -> Bytes:
        """Return uint8 [height, width, 4] of a box within the photograph, straight alpha.

        Where alpha is partial the colour is the photograph's own, never blended with black;
        where it is zero the colour is zero, so that nothing hidden is published.
        """
        left, top, right, bottom = box
        pixels = np.zeros((bottom - top, right - left, 4), np.uint8)
        alpha = self.alpha.crop(box)
        # most of a photograph of a product is background, which need not be looked at
        if subject := alpha.getbbox():
            x, y, x_end, y_end = subject
            strip = self.photograph.rgb.crop((left + x, top + y, left + x_end, top + y_end))
            strip.putalpha(alpha.crop(subject))
            colours = np.asarray(strip).view("<u4")
            out = pixels.view("<u4")[y:y_end, x:x_end]
            np.multiply(colours, colours >= OPAQUE_BIT, out=out)
        return pixels


def compose(photograph: Photograph, matte: Image.Image) -> Cutout:
    """Join a photograph and its matte (mode L, the same size).

    A source's own transparency stays: the alphas are multiplied.
    """
    own = photograph.alpha
    return Cutout(photograph, ImageChops.multiply(matte, own) if own else matte)
