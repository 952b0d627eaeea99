"""Where a rendition places a cut-out on its canvas: boxes and sizes, no pixels.

In this order: the frame is cropped to the subject and its margins; it gets the canvas's shape; the
frame becomes the canvas, which has the output's size; the subject is scaled and moved on it.

A frame is a box in the photograph's pixels, and may extend beyond the photograph. Nothing is
enlarged, unless `scale` gives the subject a share of a canvas of fixed size.
"""

import math
from dataclasses import dataclass

from contract.lengths import pixels
from contract.rendition import Rendition

MAX_GROWN_MEGAPIXELS = 100
"""A canvas that was extended to its aspect ratio is shrunk to this."""
Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, the last two exclusive"""
Size = tuple[int, int]
"""width, height in pixels"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which part of a cut-out is shown, and where on the canvas."""

    part: Box
    """in the photograph"""
    corner: tuple[int, int]
    """left and top of the part on the canvas"""
    part_size: Size
    """of the part on the canvas; different from the size of `part` if it is resized"""
    canvas_size: Size


def lay_out(photograph_size: Size, subject: Box, rendition: Rendition) -> Layout:
    """Lay out a photograph whose subject is in a box; without crop, scale and position, in any."""
    photograph: Box = (0, 0, *photograph_size)
    content = _with_margins(subject, rendition.crop_margin) if rendition.crop else photograph
    frame = _frame(content, subject, rendition)
    canvas_size = rendition.canvas_size or _limited(box_size(frame), rendition)
    if rendition.scale is None and rendition.position is None:
        part = _intersection(content, photograph)
        corner, part_size = _in_place(part, frame, canvas_size)
    else:
        part = subject
        part_size = _subject_size(box_size(subject), box_size(frame), canvas_size, rendition)
        corner = _corner(part_size, canvas_size, rendition.position or (50, 50))
    return Layout(part, corner, part_size, canvas_size)


def box_size(box: Box) -> Size:
    return box[2] - box[0], box[3] - box[1]


def shrunk(size: Size, side: int) -> Size:
    """Return a size of the same proportions whose longer side is at most `side`."""
    factor = min(1, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _intersection(one: Box, other: Box) -> Box:
    return (
        max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])
    )  # fmt: skip


def _with_margins(subject: Box, margins: tuple[str, str, str, str]) -> Box:
    """Return the subject's box with its margins, which may extend beyond the photograph."""
    width, height = box_size(subject)
    top, right, bottom, left = (
        round(pixels(margin, side))
        for margin, side in zip(margins, (height, width) * 2, strict=True)
    )
    return subject[0] - left, subject[1] - top, subject[2] + right, subject[3] + bottom


def _frame(content: Box, subject: Box, rendition: Rendition) -> Box:
    """Return what the canvas shows, in the canvas's proportions."""
    if rendition.aspect:
        across, down = rendition.aspect
        if rendition.scale is not None:
            return _grown(subject, _around(box_size(subject), rendition.aspect, rendition.scale))
        width, height = box_size(content)
        width, height = (
            max(width, round(height * across / down)), max(height, round(width * down / across)),
        )  # fmt: skip
        return _grown(content, (width, height))
    if rendition.canvas_size:
        factors = zip(box_size(content), rendition.canvas_size, strict=True)
        factor = max(1, *(own / available for own, available in factors))
        width, height = (round(side * factor) for side in rendition.canvas_size)
        return _grown(content, (width, height))
    return content


def _around(subject: Size, aspect: Size, scale: float) -> Size:
    """Return the size of a frame in which a subject takes `scale` %."""
    factor = max(own / share for own, share in zip(subject, aspect, strict=True)) * 100 / scale
    width, height = (
        max(own, round(share * factor)) for own, share in zip(subject, aspect, strict=True)
    )
    return width, height


def _grown(box: Box, size: Size) -> Box:
    """Return a box of another size with the same centre."""
    left, top = (box[axis] - (size[axis] - box_size(box)[axis]) // 2 for axis in (0, 1))
    return left, top, left + size[0], top + size[1]


def _limited(size: Size, rendition: Rendition) -> Size:
    """Return the largest size of the same proportions within the limits; never enlarges."""
    width, height = shrunk(size, rendition.max_side) if rendition.max_side else size
    megapixels = rendition.size
    if rendition.aspect:
        megapixels = min(megapixels or MAX_GROWN_MEGAPIXELS, MAX_GROWN_MEGAPIXELS)
    if megapixels is None or width * height <= megapixels * 1e6:
        return width, height
    max_pixels = int(megapixels * 1e6)
    factor = math.sqrt(max_pixels / (width * height))
    width = min(max(1, int(width * factor)), max_pixels)
    return width, min(max(1, int(height * factor)), max_pixels // width)


def _in_place(part: Box, frame: Box, canvas_size: Size) -> tuple[tuple[int, int], Size]:
    """Return corner and size of a part of the frame after the frame shrinks to `canvas_size`."""
    corner, part_size = [], []
    for axis in (0, 1):
        before, after = box_size(frame)[axis], canvas_size[axis]
        start = (part[axis] - frame[axis]) * after / before
        end = (part[axis + 2] - frame[axis]) * after / before
        corner.append(min(round(start), after - 1))
        part_size.append(max(1, min(round(end), after) - corner[-1]))
    return (corner[0], corner[1]), (part_size[0], part_size[1])


def _subject_size(subject: Size, frame: Size, canvas_size: Size, rendition: Rendition) -> Size:
    """Return the subject's size on the canvas."""
    if rendition.scale is None:
        by = [after / before for after, before in zip(canvas_size, frame, strict=True)]
    elif rendition.aspect and frame == canvas_size:
        by = [1.0, 1.0]  # the frame was made for it
    else:
        fits = [available / own for available, own in zip(canvas_size, subject, strict=True)]
        by = [min(fits) * rendition.scale / 100] * 2
    width, height = (
        max(1, min(available, round(own * factor)))
        for own, factor, available in zip(subject, by, canvas_size, strict=True)
    )
    return width, height


def _corner(part_size: Size, canvas_size: Size, position: tuple[float, float]) -> tuple[int, int]:
    """Return left and top of the subject.

    Positions work as in CSS `background-position`: the whole subject stays on the canvas.
    """
    left, top = (
        round((available - own) * percent / 100)
        for available, own, percent in zip(canvas_size, part_size, position, strict=True)
    )
    return left, top
