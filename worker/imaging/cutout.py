"""A photograph and its matte, joined to a cut-out with straight alpha."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageChops, ImageStat

from worker.imaging.arrays import Uint8Array
from worker.imaging.decode import Photograph
from worker.imaging.foreground import Foreground, estimate
from worker.imaging.layout import Box

FOREGROUND_SAMPLES = 640
"""About this many pixels of each side are sampled for the mean alpha. Error at 10 MP: 0.0003."""
MAX_JOINED_PIXELS = 16_000_000
"""Pixels of the largest cut-out that is kept joined: 64 MB."""
STRIP_BYTES = 1 << 20
"""RGBA pixels that are joined at a time."""
OPAQUE_BIT = 1 << 24
"""An RGBA pixel read as a little-endian uint32 is below this if its alpha is zero."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """A photograph and its alpha. They are joined strip by strip while the output is written."""

    photograph: Photograph
    alpha: Image.Image
    """mode L, 0..255, of the photograph's size"""
    subject_colours: Foreground | None = None
    """the subject's own colours, for soft pixels; None keeps the photograph's"""
    pixels: Uint8Array | None = None
    """[height, width, 4], if all are joined already; see `joined`"""
    matte: Image.Image | None = None
    """mode L, 0..255: `alpha` without the photograph's own, if it has one"""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.photograph.size

    @property
    def foreground(self) -> float:
        """The mean alpha, 0..1. Large images are sampled at regular intervals."""
        width, height = (side // (side // FOREGROUND_SAMPLES | 1) for side in self.alpha.size)
        sample = self.alpha.resize((width, height), Image.Resampling.NEAREST)
        return ImageStat.Stat(sample).mean[0] / 255

    def rows(self, top: int, bottom: int) -> Uint8Array:
        """Return uint8 [bottom - top, width, 4]: RGBA with straight alpha, 0..255."""
        return self.part((0, top, self.size[0], bottom))

    def part(self, box: Box) -> Uint8Array:
        """Return uint8 [height, width, 4] of a box within the photograph: RGBA, 0..255.

        If alpha is partial, the colour is the foreground's or the photograph's own, not blended
        with black. If alpha is zero, the colour is zero too, so the output does not reveal the
        background.
        """
        left, top, right, bottom = box
        if self.pixels is not None:
            return self.pixels[top:bottom, left:right]
        pixels = np.zeros((bottom - top, right - left, 4), np.uint8)
        alpha = self.alpha.crop(box)
        # most of a product photograph is background, which stays zero without being read
        if subject := alpha.getbbox():
            x, y, x_end, y_end = subject
            strip = self.photograph.rgb.crop((left + x, top + y, left + x_end, top + y_end))
            strip.putalpha(alpha.crop(subject))
            colours = np.asarray(strip).view("<u4")
            out = pixels.view("<u4")[y:y_end, x:x_end]
            np.multiply(colours, colours >= OPAQUE_BIT, out=out)
            if self.subject_colours:
                self.subject_colours.paint(pixels[y:y_end, x:x_end], (left + x, top + y))
        return pixels


def joined(cutout: Cutout) -> Cutout:
    """Return a cut-out that is joined once, for several renditions, unless that needs much memory.

    Its pixels cannot be written to.
    """
    width, height = cutout.size
    if width * height > MAX_JOINED_PIXELS:
        return cutout
    pixels = np.empty((height, width, 4), np.uint8)
    step = max(1, STRIP_BYTES // (4 * width))
    for top in range(0, height, step):  # soft pixels need 150 bytes each while they are painted
        pixels[top : top + step] = cutout.rows(top, min(top + step, height))
    pixels.flags.writeable = False
    return replace(cutout, pixels=pixels)


def compose(photograph: Photograph, matte: Image.Image, *, decontaminate: bool = False) -> Cutout:
    """Join a photograph and its matte (mode L, 0..255, the same size).

    With `decontaminate`, soft pixels lose the background's share of their colour. If the source has
    transparency of its own, the two alphas are multiplied, and its colours are kept: there is no
    background in them.
    """
    own = photograph.alpha
    if own:
        return Cutout(photograph, ImageChops.multiply(matte, own), matte=matte)
    return Cutout(photograph, matte, estimate(photograph.rgb, matte) if decontaminate else None)
