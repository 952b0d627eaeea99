"""Encodes a cut-out. The same pixels always give the same bytes.

The terms are those of the PNG specification, https://www.w3.org/TR/png-3/ (filters: section 9).
"""

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BIT_RGBA = bytes([8, 6, 0, 0, 0])
"""What follows the size in IHDR: depth, colour type, deflate, adaptive filters, no interlace."""
PERCEPTUAL = b"\0"
PER_METRE = b"\1"

STRIP_BYTES = 1 << 18
"""Pixels asked for at a time: they and what is computed from them stay in a core's cache."""


def encode(
    rows: Callable[[int, int], Bytes],
    size: tuple[int, int],
    icc_profile: bytes | None = None,
    dots_per_metre: tuple[int, int] | None = None,
) -> bytes:
    """Return an 8-bit RGBA PNG of `size` (width, height), with profile and resolution.

    `rows(top, bottom)` returns uint8 [bottom - top, width, 4], straight alpha. It is asked for
    one strip after the other, from the top, each row once: beside the file itself only a few
    strips are in memory.
    """
    chunks = [SIGNATURE, *_chunk(b"IHDR", struct.pack(">II", *size) + EIGHT_BIT_RGBA)]
    if icc_profile is None:
        chunks += _chunk(b"sRGB", PERCEPTUAL)
    else:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if dots_per_metre is not None:
        chunks += _chunk(b"pHYs", struct.pack(">II", *dots_per_metre) + PER_METRE)
    width, height = size
    step = max(1, STRIP_BYTES // (4 * width))
    lines = np.zeros((min(step, height) + 1, 4 + 4 * width), np.uint8)
    filtered = np.empty((min(step, height), 1 + 4 * width), np.uint8)
    deflate = isal_zlib.compressobj(2, wbits=15)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        count = bottom - top
        lines[1 : count + 1, 4:] = rows(top, bottom).reshape(count, 4 * width)
        filtered[:count, 0] = Filter.UP
        np.subtract(lines[1 : count + 1, 4:], lines[:count, 4:], out=filtered[:count, 1:])
        lines[0] = lines[count]
        if data := deflate.compress(filtered[:count]):
            chunks += _chunk(b"IDAT", data)
    chunks += _chunk(b"IDAT", deflate.flush())
    chunks += _chunk(b"IEND", b"")
    return b"".join(chunks)


class Filter(IntEnum):
    NONE, SUB, UP, AVERAGE, PAETH = range(5)


def _chunk(name: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
    crc = isal_zlib.crc32(data, isal_zlib.crc32(name))
    return len(data).to_bytes(4, "big") + name, data, crc.to_bytes(4, "big")
