"""Writes a PNG strip by strip. The same pixels always give the same bytes.

Terms and chunk layouts are those of the PNG specification, https://www.w3.org/TR/png-3/; the zlib
stream is that of RFC 1950, with deflate data as in RFC 1951.
"""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from isal import isal_zlib
from zlib_ng import zlib_ng

from worker.imaging.png.filters import Strip
from worker.imaging.png.strategy import Rows, Strategy, plan

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""Section 5.2."""
EIGHT_BIT_RGBA = bytes([8, 6, 0, 0, 0])
"""IHDR after the size: bit depth, colour type RGBA, deflate, filter method 0, no interlace."""
PERCEPTUAL = b"\0"
"""Rendering intent, in the chunk sRGB."""
PER_METRE = b"\1"
"""Unit of the resolution, in the chunk pHYs."""
ZLIB_HEADER = b"\x78\x9c"
"""Deflate with a 32 KB window, no dictionary (RFC 1950, section 2.2)."""
LAST_BLOCK = b"\x03\0"
"""An empty deflate block with fixed codes, marked as the last (RFC 1951, section 3.2.3)."""


def encode(
    rows: Rows,
    size: tuple[int, int],
    icc_profile: bytes | None = None,
    dots_per_metre: tuple[int, int] | None = None,
) -> bytes:
    """Return an 8-bit RGBA PNG of `size` (width, height), with profile and resolution.

    `rows(top, bottom)` returns uint8 [bottom - top, width, 4]: RGBA with straight alpha, 0..255. It
    is called first for single lines as a sample, then for each strip with the line above it, so
    that only the file itself and a few strips are in memory.
    """
    file = io.BytesIO()
    file.write(SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">II", *size) + EIGHT_BIT_RGBA)
    if icc_profile is None:
        _write_chunk(file, b"sRGB", PERCEPTUAL)
    else:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if dots_per_metre is not None:
        _write_chunk(file, b"pHYs", struct.pack(">II", *dots_per_metre) + PER_METRE)
    for data in _zlib_stream(rows, *size):
        if data:
            _write_chunk(file, b"IDAT", data)
    _write_chunk(file, b"IEND", b"")
    return file.getvalue()


def _write_chunk(file: io.BytesIO, chunk_type: bytes, data: bytes) -> None:
    """Write length, type, data and the CRC of type and data (section 5.3)."""
    file.write(len(data).to_bytes(4, "big") + chunk_type)
    file.write(data)
    file.write(isal_zlib.crc32(data, isal_zlib.crc32(chunk_type)).to_bytes(4, "big"))


def _zlib_stream(rows: Rows, width: int, height: int) -> Iterator[bytes]:
    """Yield the zlib stream of the filtered lines, piece by piece."""
    strip = Strip(width, height)
    bands = plan(strip, rows, height)
    # the output of two compressors may be joined: at each change it ends on a whole byte, and
    # neither refers back to data of the other
    compressors = {band.strategy: band.strategy.compressor() for band in bands}
    current: Strategy | None = None
    checksum = 1
    yield ZLIB_HEADER
    for band in bands:
        if current not in {None, band.strategy}:
            yield compressors[current].flush(zlib.Z_FULL_FLUSH)
        current = band.strategy
        for top in range(band.start, band.end, strip.max_lines):
            lines = rows(max(0, top - 1), min(top + strip.max_lines, band.end))
            if top == 0:  # above the first line there is transparent black
                lines = np.concatenate([np.zeros_like(lines[:1]), lines])
            filtered = current.filter(strip, lines[1:], lines[:-1]).data
            yield compressors[current].compress(filtered)
            checksum = zlib_ng.adler32(filtered, checksum)
    yield compressors[bands[-1].strategy].flush(zlib.Z_FULL_FLUSH)
    yield LAST_BLOCK + checksum.to_bytes(4, "big")
