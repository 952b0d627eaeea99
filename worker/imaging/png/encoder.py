"""Encodes a cut-out. The same pixels always give the same bytes.

The terms are those of the PNG specification, https://www.w3.org/TR/png-3/, and of deflate,
RFC 1951.

Pillow spends a second on ten megapixels. What it gains by that differs from image to image, so a
sample of each decides: a file may be a fiftieth larger than Pillow's, and is made as fast as that
allows.
"""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from isal import isal_zlib
from zlib_ng import zlib_ng

from worker.imaging.png.filters import Bytes, Strip

Rows = Callable[[int, int], Bytes]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BIT_RGBA = bytes([8, 6, 0, 0, 0])
"""What follows the size in IHDR: depth, colour type, deflate, the five filters, no interlace."""
PERCEPTUAL = b"\0"
PER_METRE = b"\1"
ZLIB_HEADER = b"\x78\x9c"
LAST_BLOCK = b"\x03\0"
"""An empty deflate block, marked as the last."""

SURPLUS = 1.027
"""Files may be so many times as large as the thorough way makes them: 0.993 to 0.998 of Pillow's
size with zlib, less with more pixels."""
IN_HAND = 6000
"""Bytes kept from that: a small file has little to estimate it by."""
BANDS = 24
"""The most in which a file is written, each in one way or the other."""
BAND = 1 << 18
"""Bytes of pixels in a band, at least."""
SAMPLE = 176_000
"""Bytes of lines that are tried; what has no more is written thoroughly."""
LEAST_SAMPLE = 22
"""Lines, where they are longer."""
PHASES = 8
"""JPEG codes blocks of so many lines, and the first of a block is not like its last."""


class _Compressor(Protocol):
    """What the objects of ISA-L and zlib-ng have in common."""

    def compress(self, data: memoryview | bytes, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Way:
    """A way to compress: the filters, the compressor, and the time it takes, relatively."""

    filter: Callable[[Strip, Bytes, Bytes], Bytes]
    compressor: Callable[[], _Compressor]
    cost: float


Band = tuple[int, int, Way]
"""The first line, the one behind the last, and how they are written."""


def _filtered(level: int) -> _Compressor:
    made: _Compressor = zlib_ng.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
    return made


WAYS = (
    Way(Strip.filter_up, lambda: isal_zlib.compressobj(2, wbits=-15, memLevel=5), 1),
    Way(Strip.filter_up, lambda: _filtered(3), 2.6),
    Way(Strip.filter_up, lambda: _filtered(5), 4),
    Way(Strip.filter_by_line, lambda: _filtered(7), 13),
)
"""From fast to thorough. The last makes files of Pillow's size, and is seldom worth its time: it is
what the others are measured by."""


def encode(
    rows: Rows,
    size: tuple[int, int],
    icc_profile: bytes | None = None,
    dots_per_metre: tuple[int, int] | None = None,
) -> bytes:
    """Return an 8-bit RGBA PNG of `size` (width, height), with profile and resolution.

    `rows(top, bottom)` returns uint8 [bottom - top, width, 4], straight alpha. It is asked for a
    few lines here and there first, then for one strip after the other, each with the line above
    it: beside the file itself only a few strips are in memory.
    """
    file = io.BytesIO()
    file.write(SIGNATURE)
    _write(file, b"IHDR", struct.pack(">II", *size) + EIGHT_BIT_RGBA)
    if icc_profile is None:
        _write(file, b"sRGB", PERCEPTUAL)
    else:
        _write(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if dots_per_metre is not None:
        _write(file, b"pHYs", struct.pack(">II", *dots_per_metre) + PER_METRE)
    for data in _deflated(rows, *size):
        if data:
            _write(file, b"IDAT", data)
    _write(file, b"IEND", b"")
    return file.getvalue()


def _write(file: io.BytesIO, name: bytes, data: bytes) -> None:
    file.write(len(data).to_bytes(4, "big") + name)
    file.write(data)
    file.write(isal_zlib.crc32(data, isal_zlib.crc32(name)).to_bytes(4, "big"))


def _deflated(rows: Rows, width: int, height: int) -> Iterator[bytes]:
    """Yield the zlib stream of the filtered lines, piece by piece."""
    strip = Strip(width, height)
    bands = _plan(strip, rows, height)
    # the pieces of two compressors may follow each other, as each ends on a byte and none
    # refers to data of another
    compressors = {way: way.compressor() for _, _, way in bands}
    working: Way | None = None
    checksum = 1
    yield ZLIB_HEADER
    for start, end, way in bands:
        if working not in {None, way}:
            yield compressors[working].flush(zlib.Z_FULL_FLUSH)
        working = way
        for top in range(start, end, strip.most):
            lines = rows(max(0, top - 1), min(top + strip.most, end))
            if top == 0:
                lines = np.concatenate([np.zeros_like(lines[:1]), lines])
            filtered = way.filter(strip, lines[1:], lines[:-1]).data
            yield compressors[way].compress(filtered)
            checksum = zlib_ng.adler32(filtered, checksum)
    yield compressors[way].flush(zlib.Z_FULL_FLUSH)
    yield LAST_BLOCK + checksum.to_bytes(4, "big")


def _plan(strip: Strip, rows: Rows, height: int) -> list[Band]:
    """Choose the two ways that together make a file small enough in the least time.

    How much of it each writes is decided, not where: the bands of one are spread among those of
    the other.
    """
    if height == 1 or height * strip.length <= SAMPLE:
        return [(0, height, WAYS[-1])]
    fast, thorough, share = _mixed(strip, rows, height)
    count = max(1, min(BANDS, height, height * strip.length // BAND))
    edges = [height * band // count for band in range(count + 1)]
    marks = [math.ceil(share * count) * band // count for band in range(count + 1)]
    return [
        (start, end, thorough if here < there else fast)
        for (start, end), (here, there) in zip(pairwise(edges), pairwise(marks), strict=True)
    ]


def _mixed(strip: Strip, rows: Rows, height: int) -> tuple[Way, Way, float]:
    """Return a fast way, a thorough one, and the latter's share of the file, 0..1."""
    count = min(height - 1, max(LEAST_SAMPLE, SAMPLE // strip.length))
    sample = _sample(rows, height, count)
    smallest = _size(strip, sample, WAYS[-1])
    most = SURPLUS * smallest - IN_HAND * count / height
    tried: list[tuple[Way, float]] = []
    for way in WAYS[:-1]:
        tried.append((way, _size(strip, sample, way)))
        if tried[-1][1] <= most:
            break
    else:
        tried.append((WAYS[-1], smallest))
    thorough, small = tried[-1]
    # of the last itself, and of one that nothing is smaller than, nothing need be replaced
    shares = [
        min(1, (size - most) / (size - small)) if size > max(small, most) else 0
        for _, size in tried
    ]
    costs = [
        way.cost + share * (thorough.cost - way.cost)
        for (way, _), share in zip(tried, shares, strict=True)
    ]
    best = costs.index(min(costs))
    return tried[best][0], thorough, shares[best]


def _sample(rows: Rows, height: int, count: int) -> list[Bytes]:
    """Return lines from everywhere, each below the one above it: uint8 [2, width, 4].

    Those with nothing in them are left out: they take next to nothing in every way.
    """
    step = (height - 1) / count
    pairs = []
    for number in range(count):
        top = int((number + 0.4) * step)  # not the middle, where pictures have their seams
        if step > PHASES:
            top = min(top - top % PHASES + 3 * number % PHASES, height - 2)
        pairs.append(rows(top, top + 2))
    return [pair for pair in pairs if pair[1].any()]


def _size(strip: Strip, sample: list[Bytes], way: Way) -> int:
    """Return the bytes that the lines of a sample take in one way."""
    compressor = way.compressor()
    size = 0
    for first in range(0, len(sample), strip.most):
        pairs = np.stack(sample[first : first + strip.most])
        size += len(compressor.compress(way.filter(strip, pairs[:, 1], pairs[:, 0]).data))
    return size + len(compressor.flush(zlib.Z_FINISH))
