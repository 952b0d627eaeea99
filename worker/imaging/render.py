"""A cut-out on its canvas: cropped, scaled, moved and shrunk as a rendition asks."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.rendition import Rendition
from worker.imaging.arrays import Uint8Array
from worker.imaging.blurred import BlurredBackground, blurred_background
from worker.imaging.cutout import Cutout
from worker.imaging.layout import Box, Size, box_size, lay_out
from worker.imaging.shadow import Shadow, contact_shadow
from worker.imaging.subject import subject_box

REDUCING_GAP = 2
"""Shrinking first averages by a whole factor down to at least this many times the final size.

That happens strip by strip, so that two copies of 100 megapixels are never in memory.
"""
STRIP_BYTES = 1 << 20
"""RGBA pixels that are premultiplied at a time."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A part of a cut-out on a canvas. The rest of the canvas is transparent."""

    cutout: Cutout
    part: Box
    """the part shown, in the cut-out"""
    corner: tuple[int, int]
    """left and top of the part on the canvas"""
    size: Size
    """of the canvas"""
    whole: Cutout
    """before any resizing"""
    shadow: Shadow | None = None
    """drawn under the subject"""

    @property
    def is_plain(self) -> bool:
        """True if the canvas holds the whole cut-out and nothing else."""
        return self.size == self.cutout.size and self.part == (0, 0, *self.size)

    def rows(self, top: int, bottom: int) -> Uint8Array:
        """Return uint8 [bottom - top, width, 4]: RGBA with straight alpha, 0..255."""
        return self.over_shadow(self.subject_rows(top, bottom), top)

    def over_shadow(self, pixels: Uint8Array, top: int) -> Uint8Array:
        """Return rows of the subject, from row `top` on, over its shadow."""
        return self.shadow.under(pixels, top) if self.shadow else pixels

    def subject_rows(self, top: int, bottom: int) -> Uint8Array:
        """Return `rows` without the shadow."""
        if self.is_plain:
            return self.cutout.rows(top, bottom)
        pixels = np.zeros((bottom - top, self.size[0], 4), np.uint8)
        left, offset = self.corner[0], self.corner[1] - self.part[1]
        first, end = max(top, self.corner[1]), min(bottom, self.part[3] + offset)
        if first < end:
            part_left, _, part_right, _ = self.part
            shown = self.cutout.part((part_left, first - offset, part_right, end - offset))
            pixels[first - top : end - top, left : left + part_right - part_left] = shown
        return pixels

    def blurred_background(self) -> BlurredBackground:
        """Return the photograph's background, blurred, for the whole canvas."""
        return blurred_background(self.whole, self.size)

    def matte(self) -> Image.Image:
        """Return the alpha of the subject on the canvas: mode L, 0..255."""
        if self.is_plain:
            return self.cutout.alpha
        canvas = Image.new("L", self.size, 0)
        canvas.paste(self.cutout.alpha.crop(self.part), self.corner)
        return canvas


def render(cutout: Cutout, rendition: Rendition) -> Picture:
    """Place a cut-out, already cleared outside the rendition's region, on the rendition's canvas.

    The plain rendition costs nothing. Raises PermanentError (`no_subject`) if the rendition crops
    to, scales or moves the subject and the matte has none.
    """
    subject: Box | None = (0, 0, *cutout.size)
    if rendition.places_subject:
        subject = subject_box(cutout.alpha)
    if subject is None:
        raise PermanentError(ErrorCode.NO_SUBJECT, "There is no subject to place.")
    whole = cutout
    layout = lay_out(cutout.size, subject, rendition)
    part = layout.part
    if layout.part_size != box_size(part):
        cutout, part = _resized(cutout, part, layout.part_size), (0, 0, *layout.part_size)
    picture = Picture(cutout, part, layout.corner, layout.canvas_size, whole)
    if rendition.shadow == "none":
        return picture
    ends_at_photograph = layout.part[3] == whole.size[1]
    alpha = cutout.alpha if part == (0, 0, *cutout.size) else cutout.alpha.crop(part)
    return replace(picture, shadow=contact_shadow(alpha, layout.corner, cut=ends_at_photograph))


def _resized(cutout: Cutout, part: Box, size: Size) -> Cutout:
    """Return a part of a cut-out, resized.

    Colours are weighted by their alpha (premultiplied), so that the background's do not tint the
    edges. Hamming and bilinear filters never overshoot; one that does would leave a bright ring,
    as alpha is clipped at 255.
    """
    width, height = box_size(part)
    factor_x, factor_y = (
        max(1, old // new // REDUCING_GAP) for old, new in zip((width, height), size, strict=True)
    )
    reduced = Image.new("RGBa", (-(-width // factor_x), -(-height // factor_y)))
    strip_rows = factor_y * max(1, STRIP_BYTES // (4 * width * factor_y))
    for top, bottom in pairwise([*range(0, height, strip_rows), height]):
        strip = cutout.part((part[0], part[1] + top, part[2], part[1] + bottom))
        averaged = Image.fromarray(strip).convert("RGBa").reduce((factor_x, factor_y))
        reduced.paste(averaged, (0, top // factor_y))
    box = (0, 0, width / factor_x, height / factor_y)
    shrinks = size[0] * size[1] < width * height
    resampling = Image.Resampling.HAMMING if shrinks else Image.Resampling.BILINEAR
    resized = reduced.resize(size, resampling, box).convert("RGBA")
    photograph = replace(cutout.photograph, rgb=resized.convert("RGB"), alpha=None)
    return Cutout(photograph, resized.getchannel("A"))
