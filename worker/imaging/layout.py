"""Where a rendition places a cut-out on its canvas: boxes and sizes, no pixels.

In this order: the canvas is cropped to the subject and its margins; the subject is scaled and moved
on it; the canvas shrinks to the size limit.
"""

import math
from dataclasses import dataclass

from contract.rendition import Rendition, pixels

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
    canvas = _with_margins(subject, rendition.crop_margin) if rendition.crop else photograph
    canvas_size = _limited(box_size(canvas), rendition.size)
    if rendition.scale is None and rendition.position is None:
        part = _intersection(canvas, photograph)
        corner, part_size = _in_place(part, canvas, canvas_size)
    else:
        part = subject
        corner, part_size = _scaled_and_moved(subject, canvas, canvas_size, rendition)
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


def _limited(size: Size, megapixels: float | None) -> Size:
    """Return the largest size of the same proportions within a limit; never enlarges."""
    width, height = size
    if megapixels is None or width * height <= megapixels * 1e6:
        return size
    max_pixels = int(megapixels * 1e6)
    factor = math.sqrt(max_pixels / (width * height))
    width = min(max(1, int(width * factor)), max_pixels)
    return width, min(max(1, int(height * factor)), max_pixels // width)


def _in_place(part: Box, canvas: Box, canvas_size: Size) -> tuple[tuple[int, int], Size]:
    """Return corner and size of a part of the canvas after the canvas shrinks to `canvas_size`."""
    corner, part_size = [], []
    for axis in (0, 1):
        before, after = box_size(canvas)[axis], canvas_size[axis]
        start = (part[axis] - canvas[axis]) * after / before
        end = (part[axis + 2] - canvas[axis]) * after / before
        corner.append(min(round(start), after - 1))
        part_size.append(max(1, min(round(end), after) - corner[-1]))
    return (corner[0], corner[1]), (part_size[0], part_size[1])


def _scaled_and_moved(
    subject: Box, canvas: Box, canvas_size: Size, rendition: Rendition
) -> tuple[tuple[int, int], Size]:
    """Return the subject's corner and size after the canvas shrinks to `canvas_size`.

    Positions work as in CSS `background-position`: the whole subject stays on the canvas.
    """
    shrink = [after / before for after, before in zip(canvas_size, box_size(canvas), strict=True)]
    factor = 1.0
    if rendition.scale is not None:
        fits = [
            available / own
            for available, own in zip(box_size(canvas), box_size(subject), strict=True)
        ]
        factor = min(fits) * rendition.scale / 100
    width, height = (
        max(1, min(available, round(own * factor * by)))
        for own, by, available in zip(box_size(subject), shrink, canvas_size, strict=True)
    )
    x, y = rendition.position or (50, 50)
    corner = round((canvas_size[0] - width) * x / 100), round((canvas_size[1] - height) * y / 100)
    return corner, (width, height)
