"""PNG filtering (https://www.w3.org/TR/png-3/, section 9), a strip of lines at a time."""

from collections.abc import Iterable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from worker.imaging.arrays import Uint8Array

STRIP_BYTES = 1 << 19
"""RGBA pixels filtered at a time: with the intermediate results, they fit a core's cache."""
GROUP_BYTES = 1 << 15
"""RGBA pixels on which all filters are tried at a time, for the same reason."""
MIN_GROUP_LINES = 8
"""Fewer lines at a time would spend the time on NumPy's calls instead of on pixels."""


class Filter(IntEnum):
    """The filter types (section 9.2) but Average, which hardly ever wins on photographs.

    Pillow omits it too. In a tie the first wins, as in Pillow.
    """

    NONE = 0
    UP = 2
    SUB = 1
    PAETH = 4


class Strip:
    """Filters a few lines at a time, in buffers allocated once for all strips.

    Its filters take lines and the line above each, both uint8 [count, width, 4], 0..255. They
    return uint8 [count, 1 + 4 * width], 0..255: each line's filter type and its residuals, modulo
    256. The result is valid until the next call.
    """

    def __init__(self, width: int, height: int) -> None:
        self.line_bytes = line_bytes = 4 * width
        group = max(MIN_GROUP_LINES, GROUP_BYTES // line_bytes)
        self.max_lines = min(height, max(group, STRIP_BYTES // line_bytes))
        self._group = min(group, self.max_lines)
        self._filtered = np.empty((self.max_lines, 1 + line_bytes), np.uint8)
        self._candidates = np.empty((len(Filter), self._group, line_bytes), np.uint8)
        self._scratch = np.empty((5, self._group, line_bytes), np.uint8)

    def filter_up(self, lines: Uint8Array, above: Uint8Array) -> Uint8Array:
        """Filter all lines by Up; an empty strip by None, so that its zeros are one long run.

        One filter for all keeps repetitions between lines, as in enlarged photographs, visible to
        the compressor. See the class for shapes and ranges.
        """
        filtered = self._filtered[: len(lines)]
        if lines.any():
            filtered[:, 0] = Filter.UP
            np.subtract(_flat(lines), _flat(above), out=filtered[:, 1:])
        else:
            filtered[:] = Filter.NONE
        return filtered

    def filter_by_line(self, lines: Uint8Array, above: Uint8Array) -> Uint8Array:
        """Filter each line by the smallest sum of absolute residuals, as section 12.7 advises.

        See the class for shapes and ranges.
        """
        filtered = self._filtered[: len(lines)]
        filtered[:] = Filter.NONE
        lines, above = _flat(lines), _flat(above)
        used = np.bitwise_or.reduce(lines, axis=0) | np.bitwise_or.reduce(above, axis=0)
        if len(used_columns := np.flatnonzero(used)):
            # whole pixels, and one more on the right, which is predicted from the last used one
            columns = slice(used_columns[0] // 4 * 4, used_columns[-1] // 4 * 4 + 8)
            lines, above = lines[:, columns], above[:, columns]
            residuals = filtered[:, 1:][:, columns]
            for top in range(0, len(lines), self._group):
                part = slice(top, top + self._group)
                filtered[part, 0] = self._best_filters(lines[part], above[part], residuals[part])
        return filtered

    def _best_filters(
        self, lines: Uint8Array, above: Uint8Array, residuals: Uint8Array
    ) -> Uint8Array:
        """Write each line's smallest residuals to `residuals`; return the filter types.

        The arguments are uint8 [count, bytes], 0..255; the result is uint8 [count], of `Filter`.
        """
        count, length = lines.shape
        candidates = self._candidates[:, :count, :length]
        for filter_type, out in zip(Filter, candidates, strict=True):
            _write_residuals(filter_type, lines, above, out, self._scratch)
        best = np.argmin([self._absolute_sums(candidate) for candidate in candidates], axis=0)
        for number, candidate in enumerate(candidates):
            np.copyto(residuals, candidate, where=(best == number)[:, np.newaxis])
        filter_types: Uint8Array = np.array(Filter, np.uint8)[best]
        return filter_types

    def _absolute_sums(self, residuals: Uint8Array) -> NDArray[np.uint32]:
        """Return uint32 [count]: the sum of absolute residuals of each line.

        `residuals` is uint8 [count, bytes], read as signed: -128..127.
        """
        absolute = self._scratch[0, : len(residuals), : residuals.shape[1]]
        np.abs(residuals.view(np.int8), out=absolute.view(np.int8))
        sums: NDArray[np.uint32] = absolute.sum(axis=1, dtype=np.uint32)
        return sums


def _flat(lines: Uint8Array) -> Uint8Array:
    """Return uint8 [count, width, 4] as uint8 [count, 4 * width], 0..255."""
    return lines.reshape(len(lines), -1)


def _write_residuals(
    filter_type: Filter, lines: Uint8Array, above: Uint8Array, out: Uint8Array, scratch: Uint8Array
) -> None:
    """Write the residuals of `lines` by one filter, modulo 256, to `out`.

    All are uint8 [count, bytes], 0..255, `scratch` uint8 [5, at least count, at least bytes].
    Pixels left of the first are transparent black (section 9.2).
    """
    match filter_type:
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


def _paeth(
    left: Uint8Array, above: Uint8Array, corner: Uint8Array, scratch: Iterable[Uint8Array]
) -> Uint8Array:
    """Return the Paeth predictor (section 9.4), computed in 8 bits for the widest SIMD registers.

    All are uint8 [count, bytes], 0..255; `scratch` is five of them, and the result one of these.

    The predictor is whichever of left, above and corner is nearest to left + above - corner. Of
    left and above, that is the one the corner is further from. It is the corner itself if that lies
    between the two and its distance to the nearer one is more than a third of their difference.
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


def _select(mask: Uint8Array, chosen: Uint8Array, out: Uint8Array) -> None:
    """Replace `out` by `chosen` where `mask` is 1. Overwrites `mask` and `chosen`.

    All are uint8 of the same shape: `mask` 0 or 1, the others 0..255.
    """
    np.negative(mask, out=mask)  # 1 becomes 255: all bits set
    np.bitwise_xor(chosen, out, out=chosen)
    np.bitwise_and(chosen, mask, out=chosen)
    np.bitwise_xor(out, chosen, out=out)
