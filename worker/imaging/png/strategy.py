"""Chooses how each part of a PNG is filtered and compressed.

Pillow's way takes a second for ten megapixels. How much smaller files it gains differs from image
to image, so a sample of each image decides: its file may be a fiftieth larger than Pillow's, and is
written as fast as that allows.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from isal import isal_zlib
from zlib_ng import zlib_ng

from worker.imaging.arrays import Uint8Array
from worker.imaging.png.filters import Strip

Rows = Callable[[int, int], Uint8Array]
"""`rows(top, bottom)` returns uint8 [bottom - top, width, 4]: RGBA with straight alpha, 0..255."""

MAX_SIZE_RATIO = 1.027
"""Largest allowed file size, relative to the most thorough strategy. That one's files are 0.993 to
0.998 of the size of Pillow's with zlib, less with more pixels."""
RESERVE_BYTES = 6000
"""Subtracted from the allowed size: estimates for small files are inaccurate."""
MAX_ROW_BANDS = 24
MIN_ROW_BAND_BYTES = 1 << 18
"""RGBA pixels."""
SAMPLE_BYTES = 176_000
"""RGBA pixels that are tried. An image that has no more is written by the most thorough strategy.
"""
MIN_SAMPLE_LINES = 22
"""For images so wide that fewer lines would make a sample."""
JPEG_BLOCK_ROWS = 8
"""JPEG codes blocks of 8 x 8 pixels, whose first and last rows compress differently. So the sample
covers all positions within a block."""
SAMPLE_OFFSET = 0.4
"""Where the sampled line lies between two steps, 0..1. Not in the middle: mosaics have seams there.
"""


class Compressor(Protocol):
    """What the compressor objects of ISA-L and zlib-ng have in common."""

    def compress(self, data: memoryview | bytes, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Strategy:
    """A filter and a compressor for raw deflate (RFC 1951)."""

    filter: Callable[[Strip, Uint8Array, Uint8Array], Uint8Array]
    """takes a `Strip`, lines and the lines above them: see there"""
    compressor: Callable[[], Compressor]
    cost: float
    """time per byte, relative to the fastest strategy"""


@dataclass(frozen=True, slots=True)
class RowBand:
    """Lines that are written by one strategy."""

    start: int
    end: int
    """exclusive"""
    strategy: Strategy


def _zlib_ng(level: int) -> Compressor:
    compressor: Compressor = zlib_ng.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
    return compressor


STRATEGIES = (
    Strategy(Strip.filter_up, lambda: isal_zlib.compressobj(2, wbits=-15, memLevel=5), 1),
    Strategy(Strip.filter_up, lambda: _zlib_ng(3), 2.6),
    Strategy(Strip.filter_up, lambda: _zlib_ng(5), 4),
    Strategy(Strip.filter_by_line, lambda: _zlib_ng(7), 13),
)
"""From fast to thorough. The last makes files of Pillow's size; it is seldom worth its time, and
mainly the standard that the others are compared with."""
THOROUGH = STRATEGIES[-1]


def plan(strip: Strip, rows: Rows, height: int) -> list[RowBand]:
    """Choose the two strategies that together make a file small enough in the least time.

    Only the share of each is optimised, not where it is used: the bands of one are spread evenly
    among those of the other.
    """
    image_bytes = height * strip.line_bytes
    if height == 1 or image_bytes <= SAMPLE_BYTES:
        return [RowBand(0, height, THOROUGH)]
    fast, thorough, share = _choose(strip, rows, height)
    count = max(1, min(MAX_ROW_BANDS, height, image_bytes // MIN_ROW_BAND_BYTES))
    edges = [height * band // count for band in range(count + 1)]
    # a band is thorough if the running total of thorough bands grows at it
    totals = [math.ceil(share * count) * band // count for band in range(count + 1)]
    return [
        RowBand(start, end, thorough if before < after else fast)
        for (start, end), (before, after) in zip(pairwise(edges), pairwise(totals), strict=True)
    ]


def _choose(strip: Strip, rows: Rows, height: int) -> tuple[Strategy, Strategy, float]:
    """Return a fast strategy, a thorough one, and the latter's share of the file, 0..1."""
    count = min(height - 1, max(MIN_SAMPLE_LINES, SAMPLE_BYTES // strip.line_bytes))
    sample = _sample(rows, height, count)
    smallest = _compressed_size(strip, sample, THOROUGH)
    allowed = MAX_SIZE_RATIO * smallest - RESERVE_BYTES * count / height
    sizes: list[tuple[Strategy, float]] = []
    for strategy in STRATEGIES[:-1]:
        sizes.append((strategy, _compressed_size(strip, sample, strategy)))
        if sizes[-1][1] <= allowed:
            break
    else:
        sizes.append((THOROUGH, smallest))
    thorough, thorough_size = sizes[-1]
    # a strategy within the allowed size, or no larger than the thorough one, is used for all of it
    shares = [
        min(1, (size - allowed) / (size - thorough_size))
        if size > max(thorough_size, allowed)
        else 0
        for _, size in sizes
    ]
    costs = [
        strategy.cost + share * (thorough.cost - strategy.cost)
        for (strategy, _), share in zip(sizes, shares, strict=True)
    ]
    best = costs.index(min(costs))
    return sizes[best][0], thorough, shares[best]


def _sample(rows: Rows, height: int, count: int) -> list[Uint8Array]:
    """Return up to `count` lines from all over the image, each below the line above it.

    Each is uint8 [2, width, 4], 0..255. Empty lines are omitted: no strategy spends bytes on them.
    """
    step = (height - 1) / count
    pairs = []
    for number in range(count):
        top = int((number + SAMPLE_OFFSET) * step)
        if step > JPEG_BLOCK_ROWS:
            block_top = top - top % JPEG_BLOCK_ROWS
            top = min(block_top + 3 * number % JPEG_BLOCK_ROWS, height - 2)
        pairs.append(rows(top, top + 2))
    return [pair for pair in pairs if pair[1].any()]


def _compressed_size(strip: Strip, sample: list[Uint8Array], strategy: Strategy) -> int:
    """Return the bytes of a sample's lines, each uint8 [2, width, 4], after compression."""
    compressor = strategy.compressor()
    size = 0
    for first in range(0, len(sample), strip.max_lines):
        pairs = np.stack(sample[first : first + strip.max_lines])
        filtered = strategy.filter(strip, pairs[:, 1], pairs[:, 0])
        size += len(compressor.compress(filtered.data))
    return size + len(compressor.flush(zlib.Z_FINISH))
