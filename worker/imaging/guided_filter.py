"""The colour guided filter: a matte as a local linear function of a photograph's colours.

He, Sun and Tang: "Guided Image Filtering", IEEE TPAMI 35(6), 2013.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from worker.imaging.arrays import Float32Array, Uint8Array
from worker.imaging.layout import Box

CENTRE = 128
"""Subtracted from all colours, so that sums over up to 1,023 pixels are exact in float32."""


def coefficients(
    guide: Uint8Array, matte: Float32Array, radius: int, eps: float, box: Box
) -> Float32Array:
    """Return float32 [4, height, width] of a box: factors of red, green and blue, and an offset.

    A pixel's filtered matte is red * r + green * g + blue * b + offset. `guide` is
    uint8 [rows, columns, 3], 0..255; `matte` is float32 [rows, columns], 0..255, and so is what
    it becomes, a little over the ends included. Windows have 2 * radius + 1 pixels a side, mirrored
    at the borders of the guide. `eps`, at least 1e-6, is the variance of colours (0..1) below which
    edges of the guide are ignored. All values returned are finite.

    Memory and time are those of the box and 2 * radius pixels around it. The 13 planes of 96 rows
    of 640 stay in the CPU's cache.
    """
    planes = _mirrored(guide, matte, 2 * radius, box)
    factors = _solve(_box_sums(_with_products(planes), radius), radius, eps)
    result = _box_sums(factors, radius)
    result /= np.float32((2 * radius + 1) ** 2)
    result[3] -= CENTRE * result[:3].sum(axis=0)
    return result


def _mirrored(guide: Uint8Array, matte: Float32Array, margin: int, box: Box) -> Float32Array:
    """Return float32 [4, height + 2 margin, width + 2 margin]: centred colours, and the matte."""
    height, width = matte.shape
    left, top, right, bottom = box
    part = (
        slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
    )  # fmt: skip
    planes = np.concatenate(
        [np.moveaxis(guide[part], -1, 0), matte[part][np.newaxis]], dtype=np.float32
    )
    planes[:3] -= CENTRE
    beyond = [
        (0, 0),
        (max(0, margin - top), max(0, bottom + margin - height)),
        (max(0, margin - left), max(0, right + margin - width)),
    ]
    return np.pad(planes, beyond, "symmetric")


def _with_products(planes: Float32Array) -> Float32Array:
    """Return float32 [13, rows, columns]: red, green, blue, matte, and their products.

    Products are in the order rr, gg, bb, rg, rb, gb, rp, gp, bp.
    """
    red, green, blue, matte = planes
    result = np.empty((13, *red.shape), np.float32)
    result[:4] = planes
    np.multiply(planes[:3], planes[:3], out=result[4:7])
    np.multiply(red, green, out=result[7])
    np.multiply(red, blue, out=result[8])
    np.multiply(green, blue, out=result[9])
    np.multiply(planes[:3], matte, out=result[10:])
    return result


def _box_sums(planes: Float32Array, radius: int) -> Float32Array:
    """Return the sums over each window that lies within float32 [planes, rows, columns].

    Each side becomes 2 * radius shorter.
    """
    length = 2 * radius + 1
    down = _run_sums(planes, length)
    # along all rows as one, which takes two thirds of the time: runs across their ends are left out
    across = _run_sums(down.reshape(1, -1), length)
    count, rows, columns = down.shape
    return as_strided(across, (count, rows, columns - 2 * radius), down.strides)


def _run_sums(values: Float32Array, length: int) -> Float32Array:
    """Return the sums of each run of `length` neighbours, an odd number, along the second axis.

    Sums of 2, 4, 8 ... neighbours are added up: unlike differences of cumulative sums they lose no
    precision, and they use the CPU's vector units.
    """
    end = values.shape[1] - length + 1
    total, covered = values[:, :end], 1
    doubled, span = values, 1
    while covered < length:
        doubled = doubled[:, :-span] + doubled[:, span:]
        span *= 2
        if length & span:
            total = total + doubled[:, covered : covered + end]
            covered += span
    return total


def _solve(sums: Float32Array, radius: int, eps: float) -> Float32Array:
    """Return each window's factors and offset: float32 [4, rows, columns].

    `sums` are those of `_with_products`. The covariance matrix plus eps is factorised as L D Lᵀ,
    whose divisors are at least eps: rounding errors cannot make the result infinite.
    """
    pixels = np.float32((2 * radius + 1) ** 2)
    ridge = np.float32(eps * 255**2) * pixels**2
    red, green, blue, matte, rr, gg, bb, rg, rb, gb, rp, gp, bp = sums

    def covariance(products: Float32Array, x: Float32Array, y: Float32Array) -> Float32Array:
        return pixels * products - x * y

    red_red = np.maximum(covariance(rr, red, red), 0) + ridge
    green_green = np.maximum(covariance(gg, green, green), 0) + ridge
    blue_blue = np.maximum(covariance(bb, blue, blue), 0) + ridge
    red_green, red_blue = covariance(rg, red, green), covariance(rb, red, blue)
    lower_green, lower_blue = red_green / red_red, red_blue / red_red
    d_green = np.maximum(green_green - lower_green * red_green, ridge)
    green_blue = covariance(gb, green, blue) - lower_blue * red_green
    lower_blue_green = green_blue / d_green
    d_blue = np.maximum(
        blue_blue - lower_blue * red_blue - lower_blue_green * green_blue, ridge
    )  # fmt: skip
    x, y, z = covariance(rp, red, matte), covariance(gp, green, matte), covariance(bp, blue, matte)
    y -= lower_green * x
    z -= lower_blue * x + lower_blue_green * y
    result = np.empty((4, *red.shape), np.float32)
    np.divide(z, d_blue, out=result[2])
    np.subtract(y / d_green, lower_blue_green * result[2], out=result[1])
    np.subtract(
        x / red_red, lower_green * result[1] + lower_blue * result[2], out=result[0]
    )  # fmt: skip
    result[3] = (matte - result[0] * red - result[1] * green - result[2] * blue) / pixels
    return result
