"""Decides whether the network should look again, and which of its mattes to believe.

If the first matte is in doubt, the network looks at the mirror image, and the more confident of the
two counts: a network that is not sure of a subject often is from the other side.

A network sees 320 x 320 pixels; the subject's box with a margin shows it more detail. But a box
from a doubtful matte cuts off parts of the subject, so the first pass stays if there is any doubt,
and if the network is less sure of what it sees in the box: seen from near, it may lose the subject.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from worker.imaging.arrays import BoolArray, Float32Array
from worker.imaging.layout import Box, Size

OPAQUE = 255
SUBJECT = 0.3 * OPAQUE
"""Pixels of the first matte with more opacity belong to the subject's box."""
TRACE = 0.1 * OPAQUE
"""Pixels with more opacity count for the confidence."""
MARGIN = 0.18
"""Of the box's width and height, added on each side."""

MIN_CONFIDENCE = 0.85
"""Confidence below which a matte is in doubt. On 45 photographs with exact alpha, four were: the
mirror image's mattes of three of them had a mean IoU of 0.90 instead of 0.69."""
MIN_GAIN = 0.05
"""Confidence by which the mirror image's matte must exceed the first one's to be believed instead.
A little more means nothing: 0.04 more, and the cat of samples/ loses an eye."""
MIN_MIRROR_CONFIDENCE = 0.75
"""A mirror image's matte with less is in doubt itself: of a flower that goes on outside, it kept
nothing (0.63 instead of 0.30), of a bee a half (0.56 instead of 0.48)."""
MAX_SHARE = 0.85
"""A box with a larger share of the photograph shows the network nothing new."""
MAX_FRAME_SHARE = 0.2
"""Share of one side of the frame that the subject may cover: it may go on outside of it."""
MAX_GAP = 0.15
"""Share of the box's width or height that may be empty between parts of the subject."""
MIN_PART = 0.05
"""Parts with a smaller share of the subject's area do not count as parts."""

GRID = 160
"""Side of the grid on which two mattes are compared."""
TOLERANCE = 10
"""Pixels of the grid by which the subject's outline may differ."""
MAX_DISAGREEMENT = 0.01
"""Share of the subject's area that may differ beyond the tolerance."""


def subject_region(matte: Float32Array, size: Size) -> Box | None:
    """Return the box, in pixels of a photograph of `size`, that a second pass should see.

    As `subject_box`, but also None if the matte is in doubt.
    """
    subject = matte > SUBJECT
    if not subject.any() or confidence(matte) < MIN_CONFIDENCE or _goes_on_outside(subject):
        return None
    by_row, by_column = subject.sum(axis=1), subject.sum(axis=0)
    if _has_gap(by_row) or _has_gap(by_column):
        return None
    return subject_box(matte, size)


def subject_box(matte: Float32Array, size: Size) -> Box | None:
    """Return the subject's box with its margin, in pixels of a photograph of `size`.

    `matte` is float32 [rows, columns], 0..255. None without a subject, or if the box is nearly the
    whole photograph.
    """
    subject = matte > SUBJECT
    if not subject.any():
        return None
    by_row, by_column = subject.sum(axis=1), subject.sum(axis=0)
    top, bottom = _with_margin(by_row, size[1])
    left, right = _with_margin(by_column, size[0])
    if (right - left) * (bottom - top) > MAX_SHARE * size[0] * size[1]:
        return None
    return left, top, right, bottom


def confidence(matte: Float32Array) -> float:
    """Return the mean distance of the subject's opacities from one half, 0..1; 0 without subject.

    `matte` is float32 [rows, columns], 0..255.
    """
    subject = matte[matte > TRACE]
    return float(np.abs(subject * (2 / OPAQUE) - 1).mean()) if subject.size else 0.0


def _goes_on_outside(subject: BoolArray) -> bool:
    sides = subject[0], subject[-1], subject[:, 0], subject[:, -1]
    return max(float(side.mean()) for side in sides) > MAX_FRAME_SHARE


def _has_gap(counts: NDArray[np.intp]) -> bool:
    """Check for distant parts: `counts` is the subject's pixels in each row or column."""
    filled = np.flatnonzero(counts)
    widest = MAX_GAP * (filled[-1] - filled[0] + 1)
    area = counts.cumsum()
    for before, after in pairwise(filled.tolist()):
        smaller = min(area[before], area[-1] - area[before])
        if after - before > widest and smaller > MIN_PART * area[-1]:
            return True
    return False


def _with_margin(counts: NDArray[np.intp], length: int) -> tuple[int, int]:
    """Return the range of what is not zero with margins, in pixels of a side of `length`.

    At least one pixel, also of a side that has fewer pixels than `counts`.
    """
    filled = np.flatnonzero(counts)
    start, end = int(filled[0]), int(filled[-1]) + 1
    margin = MARGIN * (end - start)
    low, high = max(0, start - margin), min(len(counts), end + margin)
    first = int(low * length / len(counts))
    return first, max(first + 1, round(high * length / len(counts)))


def agrees(first: Float32Array, second: Float32Array, region: Box, size: Size) -> bool:
    """Check the matte of a region against the first one, of the photograph of `size`.

    Both are float32 [rows, columns], 0..255. The outlines may differ a little.
    """
    rows, columns = first.shape
    across, down = columns / size[0], rows / size[1]
    box = (region[0] * across, region[1] * down, region[2] * across, region[3] * down)
    before, after = _mask(first, box), _mask(second, None)
    outline = Image.fromarray(before.astype(np.uint8) * OPAQUE)
    nearby = np.asarray(outline.filter(ImageFilter.BoxBlur(TOLERANCE)))
    differs = (after & (nearby == 0)) | (~after & (nearby == OPAQUE))
    return bool(differs.sum() <= MAX_DISAGREEMENT * max(1, before.sum()))


def _mask(matte: Float32Array, box: tuple[float, float, float, float] | None) -> BoolArray:
    """Return bool [GRID, GRID]: where a box of a matte is more opaque than not."""
    resized = Image.fromarray(matte).resize((GRID, GRID), Image.Resampling.BILINEAR, box)
    mask: BoolArray = np.asarray(resized) > OPAQUE / 2
    return mask
