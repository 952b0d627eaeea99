"""Lays a cut-out on its canvas: cropped, scaled, moved, shrunk, as a rendition asks."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.rendition import Rendition, pixels
from worker.imaging.cutout import Box, Bytes, Cutout

Size = tuple[int, int]
Marks = NDArray[np.bool_]

FAINT = 1
"""Of 255. No more alpha than that is no subject: mattes are rarely quite empty anywhere."""
SOLID = 8
"""What has an eighth of the strongest alpha is part of the subject wherever it lies; what has less
only where nothing empty comes between: haze in a corner does not widen a crop."""

GAP = 2
"""Pictures that shrink are averaged down by a whole factor to at least so many times their size
first, strip by strip: 100 megapixels are never held twice."""
STRIP = 1 << 20
"""Bytes of pixels premultiplied at a time."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A part of a cut-out on a canvas. The rest of the canvas is transparent."""

    cutout: Cutout
    part: Box
    """what is shown of the cut-out"""
    corner: tuple[int, int]
    """where the left and top of that lie on the canvas"""
    size: Size
    """(width, height) of the canvas"""

    @property
    def whole(self) -> bool:
        """Whether the canvas holds the cut-out and nothing else."""
        return self.size == self.cutout.size and self.part == (0, 0, *self.size)

    def rows(self, top: int, bottom: int) -> Bytes:
        """Return uint8 [bottom - top, width, 4], straight alpha."""
        if self.whole:
            return self.cutout.rows(top, bottom)
        found = np.zeros((bottom - top, self.size[0], 4), np.uint8)
        left, shift = self.corner[0], self.corner[1] - self.part[1]
        first, behind = max(top, self.corner[1]), min(bottom, self.part[3] + shift)
        if first < behind:
            start, _, end, _ = self.part
            shown = self.cutout.part((start, first - shift, end, behind - shift))
            found[first - top : behind - top, left : left + end - start] = shown
        return found

    def matte(self) -> Image.Image:
        """Return the alpha of the canvas, mode L."""
        if self.whole:
            return self.cutout.alpha
        canvas = Image.new("L", self.size, 0)
        canvas.paste(self.cutout.alpha.crop(self.part), self.corner)
        return canvas


def render(cutout: Cutout, rendition: Rendition) -> Picture:
    """Lay a cut-out, which `within` has bounded, on the canvas that a rendition asks for.

    A plain one costs nothing.

    Raises PermanentError (`no_subject`) where a subject is to be placed and there is none.
    """
    canvas: Box = (0, 0, *cutout.size)
    subject = subject_box(cutout.alpha) if rendition.places_subject else canvas
    if subject is None:
        raise PermanentError(ErrorCode.NO_SUBJECT, "There is no subject to place.")
    if rendition.crop:
        canvas = _with_margins(subject, rendition.crop_margin)
    size = _limited(_size(canvas), rendition.size)
    if rendition.scale is None and rendition.position is None:
        part = _overlap(canvas, (0, 0, *cutout.size))
        corner, extent = _in_place(part, canvas, size)
    else:
        part = subject
        corner, extent = _moved(subject, canvas, size, rendition)
    if extent != _size(part):
        cutout, part = _resized(cutout, part, extent), (0, 0, *extent)
    return Picture(cutout, part, corner, size)


def subject_box(alpha: Image.Image) -> Box | None:
    """Return the subject's box in a matte (mode L), or None where there is no subject."""
    values = np.asarray(alpha)
    across, down = values.max(axis=0), values.max(axis=1)
    peak = int(across.max())
    if peak <= FAINT:
        return None
    solid = max(FAINT, peak // SOLID)
    (left, right), (top, bottom) = _ends(across > solid), _ends(down > solid)
    # soft edges lie beside what is solid; haze that does not says nothing
    left, right = _grown(values[top:bottom].max(axis=0) > FAINT, left, right)
    top, bottom = _grown(values[:, left:right].max(axis=1) > FAINT, top, bottom)
    return left, top, right, bottom


def _ends(marked: Marks) -> tuple[int, int]:
    """Return the first that is marked and the one behind the last, bool [count]."""
    first, last = np.flatnonzero(marked)[[0, -1]]
    return int(first), int(last) + 1


def _grown(marked: Marks, start: int, end: int) -> tuple[int, int]:
    """Return a range widened to either side up to the next that is not marked, bool [count]."""
    gaps = np.flatnonzero(~marked)
    before, behind = gaps[gaps < start], gaps[gaps >= end]
    return (
        int(before[-1]) + 1 if len(before) else 0,
        int(behind[0]) if len(behind) else len(marked),
    )


def within(cutout: Cutout, roi: tuple[str, ...] | None) -> Cutout:
    """Make background of what lies outside a rendition's region.

    Raises PermanentError (`no_subject`) where the region holds nothing of the photograph.
    """
    if roi is None:
        return cutout
    width, height = cutout.size
    ends = [
        min(whole, round(pixels(length, whole)))
        for length, whole in zip(roi, (width, height) * 2, strict=True)
    ]
    left, top, right, bottom = ends[0], ends[1], max(ends[0], ends[2]), max(ends[1], ends[3])
    if left == right or top == bottom:
        raise PermanentError(ErrorCode.NO_SUBJECT, "The region holds nothing of the photograph.")
    alpha = Image.new("L", cutout.size, 0)
    alpha.paste(cutout.alpha.crop((left, top, right, bottom)), (left, top))
    return replace(cutout, alpha=alpha)


def _with_margins(subject: Box, margins: tuple[str, str, str, str]) -> Box:
    """Return the subject's box with its margins, which may lie beyond the photograph."""
    width, height = _size(subject)
    top, right, bottom, left = (
        round(pixels(margin, whole))
        for margin, whole in zip(margins, (height, width) * 2, strict=True)
    )
    return subject[0] - left, subject[1] - top, subject[2] + right, subject[3] + bottom


def _limited(size: Size, megapixels: float | None) -> Size:
    """Return a size of the same proportions within a limit, never a larger one."""
    width, height = size
    if megapixels is None or width * height <= megapixels * 1e6:
        return size
    most = int(megapixels * 1e6)
    factor = math.sqrt(most / (width * height))
    width = min(max(1, int(width * factor)), most)
    return width, min(max(1, int(height * factor)), most // width)


def _in_place(part: Box, canvas: Box, size: Size) -> tuple[tuple[int, int], Size]:
    """Return where a part of the canvas comes to lie, and its size, as the canvas takes `size`."""
    starts, extents = [], []
    for axis in (0, 1):
        whole, most = _size(canvas)[axis], size[axis]
        start = (part[axis] - canvas[axis]) * most / whole
        end = (part[axis + 2] - canvas[axis]) * most / whole
        starts.append(min(round(start), most - 1))
        extents.append(max(1, min(round(end), most) - starts[-1]))
    return (starts[0], starts[1]), (extents[0], extents[1])


def _moved(
    subject: Box, canvas: Box, size: Size, rendition: Rendition
) -> tuple[tuple[int, int], Size]:
    """Return where the subject comes to lie and its size, as the canvas takes `size`.

    A position is that of CSS's `background-position`: the subject stays on the canvas whole.
    """
    shrink = [new / old for new, old in zip(size, _size(canvas), strict=True)]
    factor = 1.0
    if rendition.scale is not None:
        fits = [whole / own for whole, own in zip(_size(canvas), _size(subject), strict=True)]
        factor = min(fits) * rendition.scale / 100
    width, height = (
        max(1, min(most, round(own * factor * by)))
        for own, by, most in zip(_size(subject), shrink, size, strict=True)
    )
    x, y = rendition.position or (50, 50)
    corner = round((size[0] - width) * x / 100), round((size[1] - height) * y / 100)
    return corner, (width, height)


def _resized(cutout: Cutout, part: Box, size: Size) -> Cutout:
    """Return a part of a cut-out in another size.

    Colours count by their alpha, so that those of the background do not tint the edges. Filters
    that overshoot would brighten edges instead, as alpha ends at 255; neither of these does.
    """
    width, height = _size(part)
    across, down = (
        max(1, old // new // GAP) for old, new in zip((width, height), size, strict=True)
    )
    reduced = Image.new("RGBa", (-(-width // across), -(-height // down)))
    lines = down * max(1, STRIP // (4 * width * down))
    for top, bottom in pairwise([*range(0, height, lines), height]):
        strip = cutout.part((part[0], part[1] + top, part[2], part[1] + bottom))
        averaged = Image.fromarray(strip).convert("RGBa").reduce((across, down))
        reduced.paste(averaged, (0, top // down))
    box = (0, 0, width / across, height / down)
    smaller = size[0] * size[1] < width * height
    way = Image.Resampling.HAMMING if smaller else Image.Resampling.BILINEAR
    resized = reduced.resize(size, way, box).convert("RGBA")
    photograph = replace(cutout.photograph, rgb=resized.convert("RGB"), alpha=None)
    return Cutout(photograph, resized.getchannel("A"))


def _size(box: Box) -> Size:
    return box[2] - box[0], box[3] - box[1]


def _overlap(one: Box, other: Box) -> Box:
    return (
        max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])
    )  # fmt: skip
