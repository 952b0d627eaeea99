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
    """What filtering a few lines needs; allocated once for all strips.

    Its filters take lines, and the line above each, both uint8 [count, width, 4]. They return uint8
    [count, 1 + 4 * width]: each line's filter and residuals, which hold until the next call.
    """

    def __init__(self, width: int, height: int) -> None:
        self.length = length = 4 * width
        group = max(LEAST_LINES, GROUP // length)
        self.most = min(height, max(group, STRIP // length))
        self._group = min(group, self.most)
        self._filtered = np.empty((self.most, 1 + length), np.uint8)
        self._tried = np.empty((len(Filter), self._group, length), np.uint8)
        self._scratch = np.empty((5, self._group, length), np.uint8)

    def filter_up(self, lines: Bytes, above: Bytes) -> Bytes:
        """Filter by UP, or where there is nothing by NONE, that the zeros go on from line to line.

        Best where things repeat, as in enlarged photographs: a change of filter hides that.
        """
        filtered = self._filtered[: len(lines)]
        if lines.any():
            filtered[:, 0] = Filter.UP
            np.subtract(_flat(lines), _flat(above), out=filtered[:, 1:])
        else:
            filtered[:] = Filter.NONE
        return filtered

    def filter_by_line(self, lines: Bytes, above: Bytes) -> Bytes:
        """Filter each line by the least sum of residuals, as the specification advises (12.7)."""
        filtered = self._filtered[: len(lines)]
        filtered[:] = Filter.NONE
        lines, above = _flat(lines), _flat(above)
        used = np.bitwise_or.reduce(lines, axis=0) | np.bitwise_or.reduce(above, axis=0)
        if len(places := np.flatnonzero(used)):
            # from whole pixel to whole pixel, and the one behind, as it is predicted from the last
            columns = slice(places[0] // 4 * 4, places[-1] // 4 * 4 + 8)
            lines, above = lines[:, columns], above[:, columns]
            residuals = filtered[:, 1:][:, columns]
            for top in range(0, len(lines), self._group):
                part = slice(top, top + self._group)
                filtered[part, 0] = self._filter(lines[part], above[part], residuals[part])
        return filtered

    def _filter(self, lines: Bytes, above: Bytes, residuals: Bytes) -> Bytes:
        """Write the least residuals of each line, and return its filter."""
        count, length = lines.shape
        tried = self._tried[:, :count, :length]
        for name, out in zip(Filter, tried, strict=True):
            _predict(name, lines, above, out, self._scratch)
        best = np.argmin([self._sizes(residual) for residual in tried], axis=0)
        for number, residual in enumerate(tried):
            np.copyto(residuals, residual, where=(best == number)[:, np.newaxis])
        names: Bytes = np.array(Filter, np.uint8)[best]
        return names

    def _sizes(self, residual: Bytes) -> NDArray[np.uint32]:
        """Return the sum of absolute residuals of each line."""
        absolute = self._scratch[0, : len(residual), : residual.shape[1]]
        np.abs(residual.view(np.int8), out=absolute.view(np.int8))
        sizes: NDArray[np.uint32] = absolute.sum(axis=1, dtype=np.uint32)
        return sizes


def _flat(lines: Bytes) -> Bytes:
    return lines.reshape(len(lines), -1)


def _predict(name: Filter, lines: Bytes, above: Bytes, out: Bytes, scratch: Bytes) -> None:
    """Write to `out` the residuals of lines, uint8 [count, 4 * width], by one filter.

    Before the first pixel of a line, and of the one above, there is a transparent one.
    """
    match name:
        case Filter.NONE:
            out[:] = lines
        case Filter.SUB:
            out[:, :4] = lines[:, :4]
            np.subtract(lines[:, 4:], lines[:, :-4], out=out[:, 4:])
        case Filter.UP:
            np.subtract(lines, above, out=out)
        case Filter.PAETH:
            np.subtract(lines[:, :4], above[:, :4], out=out[:, :4])
            scratch = scratch[:, : len(out), : out.shape[1] - 4]
            predicted = _paeth(lines[:, :-4], above[:, 4:], above[:, :-4], scratch)
            np.subtract(lines[:, 4:], predicted, out=out[:, 4:])


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
