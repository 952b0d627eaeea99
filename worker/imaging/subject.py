"""Where the subject is in a matte."""

from dataclasses import replace

import numpy as np
from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.lengths import pixels
from worker.imaging.arrays import BoolArray
from worker.imaging.cutout import Cutout
from worker.imaging.layout import Box

NOISE_ALPHA = 1
"""Alpha of 255 up to which a pixel counts as background: mattes are rarely exactly zero."""
SOLID_DIVISOR = 8
"""A row or column with 1/8 of the highest alpha or more belongs to the subject wherever it lies.

One with less belongs to it only if no background lies between: haze in a corner does not widen the
box.
"""


def subject_box(alpha: Image.Image) -> Box | None:
    """Return the subject's box in a matte (mode L, 0..255), or None if it has no subject."""
    values = np.asarray(alpha)
    columns, rows = values.max(axis=0), values.max(axis=1)
    highest = int(columns.max())
    if highest <= NOISE_ALPHA:
        return None
    solid = max(NOISE_ALPHA, highest // SOLID_DIVISOR)
    (left, right), (top, bottom) = _true_range(columns > solid), _true_range(rows > solid)
    # soft edges touch the solid part; haze elsewhere does not
    left, right = _widened(values[top:bottom].max(axis=0) > NOISE_ALPHA, left, right)
    top, bottom = _widened(values[:, left:right].max(axis=1) > NOISE_ALPHA, top, bottom)
    return left, top, right, bottom


def _true_range(flags: BoolArray) -> tuple[int, int]:
    """Return the range from the first to the last True of bool [count], the end exclusive."""
    first, last = np.flatnonzero(flags)[[0, -1]]
    return int(first), int(last) + 1


def _widened(flags: BoolArray, start: int, end: int) -> tuple[int, int]:
    """Return the range widened on both sides up to the nearest False of bool [count]."""
    gaps = np.flatnonzero(~flags)
    before, after = gaps[gaps < start], gaps[gaps >= end]
    return (
        int(before[-1]) + 1 if len(before) else 0,
        int(after[0]) if len(after) else len(flags),
    )


def clear_outside(cutout: Cutout, roi: tuple[str, ...] | None) -> Cutout:
    """Return the cut-out with alpha 0 outside a rendition's region (left, top, right, bottom).

    Raises PermanentError (`no_subject`) if the region holds nothing of the photograph.
    """
    if roi is None:
        return cutout
    width, height = cutout.size
    edges = [
        min(side, round(pixels(length, side)))
        for length, side in zip(roi, (width, height) * 2, strict=True)
    ]
    left, top, right, bottom = edges[0], edges[1], max(edges[0], edges[2]), max(edges[1], edges[3])
    if left == right or top == bottom:
        raise PermanentError(ErrorCode.NO_SUBJECT, "The region holds nothing of the photograph.")
    alpha = Image.new("L", cutout.size, 0)
    alpha.paste(cutout.alpha.crop((left, top, right, bottom)), (left, top))
    return replace(cutout, alpha=alpha, pixels=None)
