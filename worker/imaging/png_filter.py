"""The filters of PNG (https://www.w3.org/TR/png-3/, section 9), a strip of lines at a time."""

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

STRIP = 1 << 19
"""Bytes of pixels filtered at a time: they and what is computed of them stay in a core's cache."""
GROUP = 1 << 15
"""Bytes of the lines that all filters are tried on at a time."""
LEAST_LINES = 8


class Filter(IntEnum):
    """All but AVERAGE, which hardly ever wins on photographs; Pillow leaves it out too.

    The first of equals is taken, as in Pillow.
    """

    NONE = 0
    UP = 2
    SUB = 1
    PAETH = 4


class Strip:
    """A few lines, and what filtering them needs; allocated once for all strips."""

    def __init__(self, width: int, height: int) -> None:
        self.length = length = 4 * width
        self._group = max(LEAST_LINES, GROUP // length)
        self.most = min(height, max(self._group, STRIP // length))
        self._group = min(self._group, self.most)
        self.filtered: Bytes = np.empty((0, 0), np.uint8)
        self._filtered = np.empty((self.most, 1 + length), np.uint8)
        # the line above comes first, and a transparent pixel before each
        self._lines = np.zeros((1 + self.most, 4 + length), np.uint8)
        self._apart = np.zeros((self.most, 4 + length), np.uint8)
        self._here = self._above = self._lines
        self._used = slice(0, 0)
        self._tried = np.empty((len(Filter), self._group, length), np.uint8)
        self._scratch = np.empty((5, self._group, length), np.uint8)

    def load(self, pixels: Bytes, above: Bytes | None) -> None:
        """Take uint8 [count, width, 4], and the line above, uint8 [width, 4], if there is one."""
        self._lines[0, 4:] = 0 if above is None else above.reshape(-1)
        self._above = self._lines[: len(pixels)]
        self._load(pixels, self._lines[:1])

    def load_apart(self, pairs: Bytes) -> None:
        """Take lines from here and there, each behind the one above it: [count, 2, width, 4]."""
        self._above = self._apart[: len(pairs)]
        self._above[:, 4:] = pairs[:, 0].reshape(len(pairs), -1)
        self._load(pairs[:, 1], self._above)

    def _load(self, pixels: Bytes, beside: Bytes) -> None:
        self._here = self._lines[1 : len(pixels) + 1]
        self._here[:, 4:] = pixels.reshape(len(pixels), -1)
        self.filtered = self._filtered[: len(pixels)]
        used = np.bitwise_or.reduce(self._here[:, 4:], axis=0)
        used |= np.bitwise_or.reduce(beside[:, 4:], axis=0)
        places = np.flatnonzero(used)
        if len(places) == 0:
            self._used = slice(0, 0)
            return
        # from whole pixel to whole pixel, and the one behind, as it is predicted from the last
        end = int(places[-1]) // 4 * 4 + 8
        self._used = slice(int(places[0]) // 4 * 4, min(end, self.length))

    def filter_up(self) -> None:
        """Fill `filtered`, [count, 1 + 4 * width]: each line's filter, which is UP, and residuals.

        Best where things repeat, as in enlarged photographs: a change of filter hides that.
        """
        here, above, names, residuals = self._cleared(0, len(self.filtered))
        if residuals.size:  # else all bytes are equal, the names of the filters too
            names[:] = Filter.UP
            _predict(Filter.UP, here, above, residuals, self._scratch)

    def filter_by_line(self) -> None:
        """Fill `filtered` by the least sum in each line, as the specification advises (12.7)."""
        for top in range(0, len(self.filtered), self._group):
            here, above, names, residuals = self._cleared(top, top + self._group)
            if residuals.size:
                self._filter_lines(here, above, names, residuals)

    def _cleared(self, top: int, bottom: int) -> tuple[Bytes, Bytes, Bytes, Bytes]:
        """Return lines, those above, the lines' filters and their residuals, of used columns."""
        lines = slice(top, min(bottom, len(self.filtered)))
        self.filtered[lines] = 0
        first, last = self._used.start, self._used.stop
        return (
            self._here[lines, first : last + 4],
            self._above[lines, first : last + 4],
            self.filtered[lines, 0],
            self.filtered[lines, 1 + first : 1 + last],
        )

    def _filter_lines(self, here: Bytes, above: Bytes, names: Bytes, residuals: Bytes) -> None:
        count, length = residuals.shape
        tried = self._tried[:, :count, :length]
        for name, out in zip(Filter, tried, strict=True):
            _predict(name, here, above, out, self._scratch)
        best = np.argmin([self._sizes(residual) for residual in tried], axis=0)
        names[:] = np.array(Filter)[best]
        for name, residual in zip(Filter, tried, strict=True):
            np.copyto(residuals, residual, where=(names == name)[:, np.newaxis])

    def _sizes(self, residual: Bytes) -> NDArray[np.uint32]:
        """Return the sum of absolute residuals of each line."""
        absolute = self._scratch[0, : len(residual), : residual.shape[1]]
        np.abs(residual.view(np.int8), out=absolute.view(np.int8))
        sizes: NDArray[np.uint32] = absolute.sum(axis=1, dtype=np.uint32)
        return sizes


def _predict(name: Filter, lines: Bytes, above: Bytes, out: Bytes, scratch: Bytes) -> None:
    """Write to `out` the residuals of lines that a pixel precedes, as it does those above."""
    here, left = lines[:, 4:], lines[:, :-4]
    match name:
        case Filter.NONE:
            out[:] = here
        case Filter.SUB:
            np.subtract(here, left, out=out)
        case Filter.UP:
            np.subtract(here, above[:, 4:], out=out)
        case Filter.PAETH:
            scratch = scratch[:, : len(out), : out.shape[1]]
            np.subtract(here, _paeth(left, above[:, 4:], above[:, :-4], scratch), out=out)


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
