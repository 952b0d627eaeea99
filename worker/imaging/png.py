"""Encodes a cut-out. The same pixels always give the same bytes.

The terms are those of the PNG specification, https://www.w3.org/TR/png-3/ (filters: section 9),
and of deflate, RFC 1951.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Protocol

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BIT_RGBA = bytes([8, 6, 0, 0, 0])
"""What follows the size in IHDR: depth, colour type, deflate, the five filters, no interlace."""
PERCEPTUAL = b"\0"
PER_METRE = b"\1"
ZLIB_HEADER = b"\x78\x9c"
LAST_BLOCK = b"\x03\0"
"""An empty deflate block, marked as the last."""

STRIP = 1 << 18
"""Bytes of pixels encoded at a time: they and what is computed of them stay in a core's cache."""
GROUP = 1 << 15
"""Bytes of lines that share a filter in the fast way."""
SAMPLED = 8
"""One line in so many is tried for the filter of its group."""

MOST_GAIN = 1.018
"""ISA-L is used where its output is at most so many times as large as zlib's."""
PROBED = 1 << 16
"""Bytes compressed in both ways to learn what zlib gains. More tell little more: on photographs
it underrates zlib's gain by a hundredth, as matches from further away are missing."""
MOST_STRIPS_BY_PROBE = 16
FLAT = 512
SMOOTH = 2.0
"""A sample that shrinks by more than FLAT says nothing of what follows: SMOOTH is assumed."""


class Filter(IntEnum):
    """All but AVERAGE, which hardly ever wins on photographs; Pillow leaves it out too.

    The first of equals is taken, as in Pillow.
    """

    NONE = 0
    UP = 2
    SUB = 1
    PAETH = 4


def encode(
    rows: Callable[[int, int], Bytes],
    size: tuple[int, int],
    icc_profile: bytes | None = None,
    dots_per_metre: tuple[int, int] | None = None,
) -> bytes:
    """Return an 8-bit RGBA PNG of `size` (width, height), with profile and resolution.

    `rows(top, bottom)` returns uint8 [bottom - top, width, 4], straight alpha. It is asked for
    one strip after the other, from the top, each line once: beside the file itself only a few
    strips are in memory.
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


def _deflated(rows: Callable[[int, int], Bytes], width: int, height: int) -> Iterator[bytes]:
    """Yield the zlib stream of the filtered lines, piece by piece."""
    strip = _Strip(width, height)
    deflate = _Deflate(-(-height // strip.most))
    checksum = 1
    yield ZLIB_HEADER
    for top in range(0, height, strip.most):
        bottom = min(top + strip.most, height)
        if strip.load(rows(top, bottom)):
            strip.filter(every=SAMPLED)
            if fast := deflate.fast(strip.filtered):
                yield from fast
            else:
                strip.filter(every=1)
                yield from deflate.thorough(strip.filtered)
        else:
            yield from deflate.blank(strip.filtered)
        checksum = isal_zlib.adler32(strip.filtered, checksum)
    yield deflate.pause()
    yield LAST_BLOCK + checksum.to_bytes(4, "big")


class _Compressor(Protocol):
    """What the objects of zlib and of ISA-L have in common."""

    def compress(self, data: memoryview, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


class _Deflate:
    """Compresses each strip by ISA-L or by zlib.

    ISA-L is ten to twenty times as fast. Of noise both make the same size, as little but the
    Huffman code helps; the smoother an image, the more zlib gains by its longer search. A sample
    of a strip in a few, compressed by both, tells how much.

    Pieces end on a byte and none refers to data of another, so they may follow in any order.
    """

    def __init__(self, strips: int) -> None:
        self._blank = _isal()
        self._fast = _isal()
        self._thorough = _zlib()
        self._open: _Compressor | None = None
        self._strips_by_probe = min(max(1, strips // 8), MOST_STRIPS_BY_PROBE)
        self._until_probe = 0
        self._interval = 1
        self._gain = 0.0

    def blank(self, filtered: Bytes) -> Iterator[bytes]:
        """Compress zeros, at which ISA-L is as good."""
        return self._continue(self._blank, filtered)

    def fast(self, filtered: Bytes) -> list[bytes]:
        """Compress by ISA-L, or return nothing where that would make the file too large."""
        if self._until_probe == 0:
            gain = _gain(filtered)
            # no single sample decides: a blank stretch of a text looks like noise
            self._gain = (self._gain + gain) / 2 if self._gain else gain
            # trust in noise grows; a strip of noise given to zlib costs as much as many samples
            calm = self._gain > MOST_GAIN
            self._until_probe = 2 if calm else self._interval
            self._interval = 1 if calm else min(2 * self._interval, self._strips_by_probe)
        self._until_probe -= 1
        if self._gain > MOST_GAIN:
            return []
        piece = self._fast.compress(filtered.data) + self._fast.flush(zlib.Z_FULL_FLUSH)
        return [self.pause(), piece]

    def thorough(self, filtered: Bytes) -> Iterator[bytes]:
        """Compress by zlib."""
        return self._continue(self._thorough, filtered)

    def pause(self) -> bytes:
        """Return what the compressor at work holds back."""
        rest = self._open.flush(zlib.Z_FULL_FLUSH) if self._open else b""
        self._open = None
        return rest

    def _continue(self, compressor: _Compressor, filtered: Bytes) -> Iterator[bytes]:
        if self._open is not compressor:
            yield self.pause()
            self._open = compressor
        yield compressor.compress(filtered.data)


def _isal() -> _Compressor:
    # A window of 512 bytes: in photographs a match from further away costs more than its
    # literals, which ISA-L does not weigh. At memLevel 5 its blocks are small enough to adapt.
    return isal_zlib.compressobj(2, wbits=-9, memLevel=5)


def _zlib() -> _Compressor:
    # as Pillow by default
    return zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)


def _gain(filtered: Bytes) -> float:
    """Return how many times as large as zlib's ISA-L's output is, from lines in the middle."""
    count, length = filtered.shape
    sampled = min(count, -(-PROBED // length))
    first = (count - sampled) // 2
    sample = filtered[first : first + sampled]
    fast, thorough = (
        len(made.compress(sample.data)) + len(made.flush(zlib.Z_FINISH))
        for made in (_isal(), _zlib())
    )
    return fast / thorough if thorough * FLAT > sample.size else SMOOTH


class _Strip:
    """A few lines, and what filtering them needs; allocated once for all strips."""

    def __init__(self, width: int, height: int) -> None:
        length = 4 * width
        self._group = max(SAMPLED, GROUP // length)
        self.most = min(height, max(self._group, STRIP // length))
        self._group = min(self._group, self.most)
        self.filtered: Bytes = np.empty((0, 0), np.uint8)
        self._filtered = np.empty((self.most, 1 + length), np.uint8)
        # the line above comes first, and a transparent pixel before each
        self._lines = np.zeros((1 + self.most, 4 + length), np.uint8)
        self._used = slice(0)
        self._tried = np.empty((len(Filter), self._group, length), np.uint8)
        self._scratch = np.empty((5, self._group, length), np.uint8)

    def load(self, pixels: Bytes) -> bool:
        """Take uint8 [count, width, 4], the next lines, and say whether anything is in them.

        Where nothing is, they are filtered already.
        """
        count = len(pixels)
        self._lines[0] = self._lines[len(self.filtered)]
        self._lines[1 : count + 1, 4:] = pixels.reshape(count, -1)
        self.filtered = self._filtered[:count]
        if not self._lines[1 : count + 1].any():
            self.filtered[:] = 0
            return False
        used = np.bitwise_or.reduce(self._lines[: count + 1, 4:], axis=0) != 0
        first, behind = int(used.argmax()), len(used) - int(used[::-1].argmax())
        # from whole pixel to whole pixel, and the one behind, as it is predicted from the last
        self._used = slice(first // 4 * 4, min(-(-behind // 4) * 4 + 4, len(used)))
        return True

    def filter(self, every: int) -> None:
        """Fill `filtered`, [count, 1 + 4 * width]: each line's filter and its residuals.

        The filter is the one with the least sum of absolute residuals, as the specification
        advises (12.7): by line where `every` is 1, else by group, of which one line in `every`
        is looked at.
        """
        self.filtered[:] = 0
        first, last = self._used.start, self._used.stop
        for top in range(0, len(self.filtered), self._group):
            bottom = min(top + self._group, len(self.filtered))
            lines = self._lines[top : bottom + 1, first : last + 4]
            names = self.filtered[top:bottom, 0]
            residuals = self.filtered[top:bottom, 1 + first : 1 + last]
            if every == 1:
                self._filter_lines(lines, names, residuals)
            elif lines[1:].any():
                self._filter_group(lines, names, residuals, every)

    def _filter_lines(self, lines: Bytes, names: Bytes, residuals: Bytes) -> None:
        count, length = residuals.shape
        tried = self._tried[:, :count, :length]
        for name, out in zip(Filter, tried, strict=True):
            self._predict(name, lines, 1, out)
        best = np.argmin([self._sizes(residual) for residual in tried], axis=0)
        names[:] = np.array(Filter)[best]
        for name, residual in zip(Filter, tried, strict=True):
            np.copyto(residuals, residual, where=(names == name)[:, np.newaxis])

    def _filter_group(self, lines: Bytes, names: Bytes, residuals: Bytes, every: int) -> None:
        def size(name: Filter) -> int:
            self._predict(name, lines, every, sample)
            return int(self._sizes(sample).sum())

        count, length = residuals.shape
        sample = self._tried[0, : -(-count // every), :length]
        best = min(Filter, key=size)
        names[:] = best
        self._predict(best, lines, 1, residuals)

    def _sizes(self, residual: Bytes) -> NDArray[np.uint32]:
        """Return the sum of absolute residuals of each line."""
        absolute = self._scratch[0, : len(residual), : residual.shape[1]]
        np.abs(residual.view(np.int8), out=absolute.view(np.int8))
        sizes: NDArray[np.uint32] = absolute.sum(axis=1, dtype=np.uint32)
        return sizes

    def _predict(self, name: Filter, lines: Bytes, every: int, out: Bytes) -> None:
        """Write to `out` the residuals of one line in `every`, by one filter."""
        here, left = lines[1::every, 4:], lines[1::every, :-4]
        above, corner = lines[:-1:every, 4:], lines[:-1:every, :-4]
        match name:
            case Filter.NONE:
                out[:] = here
            case Filter.SUB:
                np.subtract(here, left, out=out)
            case Filter.UP:
                np.subtract(here, above, out=out)
            case Filter.PAETH:
                scratch = self._scratch[:, : len(out), : out.shape[1]]
                np.subtract(here, _paeth(left, above, corner, scratch), out=out)


def _paeth(left: Bytes, above: Bytes, corner: Bytes, scratch: Iterable[Bytes]) -> Bytes:
    """Predict by the Paeth filter (9.4), in 8 bits, so in the widest registers.

    What is nearest to left + above - corner is, of the lower and the higher of left and above,
    the one the corner is further from; but the corner itself if it lies between them, at more
    than a third of the way from both.
    """
    lower, higher, to_higher, to_lower, mask = scratch
    np.minimum(left, above, out=lower)
    np.maximum(left, above, out=higher)
    np.minimum(corner, higher, out=to_higher)
    np.subtract(higher, to_higher, out=to_higher)
    np.maximum(corner, lower, out=to_lower)
    np.subtract(to_lower, lower, out=to_lower)
    np.less(to_higher, to_lower, out=mask.view(np.bool_))
    _select(mask, lower, higher)
    shorter, difference = lower, to_higher
    np.minimum(to_higher, to_lower, out=shorter)
    np.maximum(to_higher, to_lower, out=to_lower)
    np.subtract(to_lower, shorter, out=difference)
    np.less(difference, shorter, out=mask.view(np.bool_))
    np.copyto(lower, corner)
    _select(mask, lower, higher)
    return higher


def _select(mask: Bytes, chosen: Bytes, out: Bytes) -> None:
    """Replace `out` by `chosen` where `mask` is 1, not 0; spoils `chosen` and `mask`."""
    np.negative(mask, out=mask)  # 1 becomes 255: all bits
    np.bitwise_xor(chosen, out, out=chosen)
    np.bitwise_and(chosen, mask, out=chosen)
    np.bitwise_xor(out, chosen, out=out)
