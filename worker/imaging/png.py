"""Encodes a cut-out. The same pixels always give the same bytes.

The terms are those of the PNG specification, https://www.w3.org/TR/png-3/, and of deflate,
RFC 1951.

Pillow spends a second on ten megapixels. What it gains by that differs from image to image, so a
sample of each decides: a file may be a hundredth larger than Pillow's, and is made as fast as
that allows.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from worker.imaging.png_filter import Bytes, Strip

Rows = Callable[[int, int], Bytes]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BIT_RGBA = bytes([8, 6, 0, 0, 0])
"""What follows the size in IHDR: depth, colour type, deflate, the five filters, no interlace."""
PERCEPTUAL = b"\0"
PER_METRE = b"\1"
ZLIB_HEADER = b"\x78\x9c"
LAST_BLOCK = b"\x03\0"
"""An empty deflate block, marked as the last."""

SURPLUS = 1.018
"""Files may be so many times as large as the thorough way makes them, which is Pillow's size."""
IN_HAND = 6000
"""Bytes kept from that, as estimates err by about so many."""
MOST_BANDS = 12
BAND = 1 << 18
"""Bytes of pixels that are compressed in one way, at least."""
SAMPLE = 96
"""One line in so many is tried."""
LEAST_SAMPLE = 1 << 15
"""Bytes; fewer tell too little of how often things repeat."""


class _Compressor(Protocol):
    """What the objects of ISA-L and zlib-ng have in common."""

    def compress(self, data: memoryview, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Way:
    """A way to compress: the filters, the compressor, and the time it takes, relatively."""

    filter: Callable[[Strip], None]
    compressor: Callable[[], _Compressor]
    cost: float


def _filtered(level: int) -> _Compressor:
    made: _Compressor = zlib_ng.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
    return made


WAYS = (
    Way(Strip.filter_up, lambda: isal_zlib.compressobj(2, wbits=-15, memLevel=5), 1),
    # noise repeats by chance alone: a match from further away than 512 bytes costs more than its
    # literals, which ISA-L does not weigh
    Way(Strip.filter_by_group, lambda: isal_zlib.compressobj(2, wbits=-9, memLevel=5), 2.1),
    Way(Strip.filter_up, lambda: _filtered(3), 3.1),
    Way(Strip.filter_up, lambda: _filtered(5), 6.5),
    Way(Strip.filter_by_line, lambda: _filtered(7), 30),
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
    few lines here and there first, then for one strip after the other: beside the file itself
    only a few strips are in memory.
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
    # the pieces of two compressors may follow each other, as each ends on a byte and none
    # refers to data of another
    compressors = [way.compressor() for way in WAYS]
    working: int | None = None
    above, checksum = None, 1
    yield ZLIB_HEADER
    for start, end, chosen in _plan(strip, rows, height):
        if working not in {None, chosen}:
            yield compressors[working].flush(zlib.Z_FULL_FLUSH)
        working = chosen
        for top in range(start, end, strip.most):
            pixels = rows(top, min(top + strip.most, end))
            strip.load(pixels, above)
            above = pixels[-1]
            WAYS[chosen].filter(strip)
            yield compressors[chosen].compress(strip.filtered.data)
            checksum = isal_zlib.adler32(strip.filtered, checksum)
    yield compressors[chosen].flush(zlib.Z_FULL_FLUSH)
    yield LAST_BLOCK + checksum.to_bytes(4, "big")


def _plan(strip: Strip, rows: Rows, height: int) -> list[tuple[int, int, int]]:
    """Return bands as (first line, line behind the last, index of the way).

    Every band begins with the fastest way; then, where it saves most for its cost, a more
    thorough one is taken, until the file is small enough.
    """
    count = max(1, min(MOST_BANDS, height, height * strip.length // BAND))
    edges = [height * number // count for number in range(count + 1)]
    sizes = _sizes(strip, rows, edges)
    costs = np.array([way.cost for way in WAYS])
    chosen = np.zeros(count, np.intp)
    most = SURPLUS * sizes[:, -1].sum() - IN_HAND
    while (now := sizes[np.arange(count), chosen]).sum() > most:
        saved, dearer = now[:, np.newaxis] - sizes, costs - costs[chosen][:, np.newaxis]
        worth = np.where(dearer > 0, saved / np.where(dearer > 0, dearer, 1), 0)
        band, way = np.unravel_index(worth.argmax(), worth.shape)
        if worth[band, way] <= 0:
            break
        chosen[band] = way
    bands = zip(pairwise(edges), chosen.tolist(), strict=True)
    return [(start, end, way) for (start, end), way in bands]


def _sizes(strip: Strip, rows: Rows, edges: list[int]) -> NDArray[np.float64]:
    """Estimate the bytes of each band in each way, [bands, ways], from lines in its middle.

    The thorough way takes longer than all others: it is tried on half of the lines, and what it
    saves there beside the way before it is taken to hold for all.
    """
    compressors = [way.compressor() for way in (*WAYS, WAYS[-2])]
    sizes = np.empty((len(edges) - 1, len(WAYS)))

    def size(number: int, way: Way) -> int:
        way.filter(strip)
        data = compressors[number].compress(strip.filtered.data)
        return len(data) + len(compressors[number].flush(zlib.Z_SYNC_FLUSH))

    for band, (start, end) in enumerate(pairwise(edges)):
        lines = max((end - start) // SAMPLE, -(-LEAST_SAMPLE // strip.length))
        lines = min(lines, end - start, strip.most)
        top = start + (end - start - lines) // 2
        pixels = rows(max(0, top - 1), top + lines)
        above = pixels[0] if top else None
        strip.load(pixels[-lines:], above)
        for number, way in enumerate(WAYS[:-1]):
            sizes[band, number] = size(number, way) * (end - start) / lines
        half = -(-lines // 2)
        strip.load(pixels[len(pixels) - lines :][:half], above)
        sizes[band, -1] = sizes[band, -2] * size(-2, WAYS[-1]) / size(-1, WAYS[-2])
    return sizes
