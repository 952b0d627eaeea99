"""The structure of ICC profiles: checked, and built for files that state colours in another way.

Layouts are those of ICC.1:2022 (profile version 4.4).
"""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Chromaticity = tuple[float, float]
"""CIE 1931 x and y"""
TransferCurve = tuple[float, ...] | NDArray[np.float64]
"""Parameters of a parametric curve (section 10.18): g alone, or g, a, b, c, d; or its values at
equal steps, 0..1 (section 10.6)."""

D50 = np.array([0.9642, 1.0, 0.8249])
"""White of the profile connection space, as XYZ (section 7.2.16)."""
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""From XYZ to cone responses, for the adaptation to D50 (annex E)."""
SRGB_CURVE: TransferCurve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""Of IEC 61966-2-1."""
BT709_CURVE: TransferCurve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
"""The inverse of the camera's curve in ITU-R BT.709 and BT.2020."""


TAG_TABLE = 128
"""Where a profile's number of tags is (section 7.3); an entry for each follows."""
TAG_ENTRY = struct.Struct(">4sII")
"""Name, offset and length of a tag."""
MAX_TAGS = 1000
"""Profiles have less than a hundred."""
MAX_SAMPLE = 0xFFFF
"""Of a curve."""


class Primaries(NamedTuple):
    """Chromaticities of an RGB colour space."""

    white: Chromaticity
    red: Chromaticity
    green: Chromaticity
    blue: Chromaticity


D65: Chromaticity = (0.3127, 0.3290)
BT709 = Primaries(D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
"""Also those of sRGB."""
BT2020 = Primaries(D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
ADOBE_RGB = Primaries(D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_RGB_CURVE: TransferCurve = (563 / 256,)
"""Both of Adobe RGB (1998), version 2005-05."""
DISPLAY_P3 = Primaries(D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


def is_mostly_padding(profile: bytes) -> bool:
    """Check if more than half of a profile lies behind the last of its tags.

    At most three bytes may (section 7.1), so another program has damaged the profile.
    """
    try:
        (count,) = struct.unpack_from(">I", profile, TAG_TABLE)
        table = profile[TAG_TABLE + 4 :][: min(count, MAX_TAGS) * TAG_ENTRY.size]
        end: int = max(offset + length for _, offset, length in TAG_ENTRY.iter_unpack(table))
    except (struct.error, ValueError):
        return False  # littleCMS judges
    return end < len(profile) / 2


def rgb_profile(primaries: Primaries, curve: TransferCurve) -> bytes:
    """Return a matrix profile. Raises ValueError if the primaries span no colours."""
    columns = _adapted_columns(primaries)
    trc = _curve(curve)
    tags = {
        b"wtpt": _xyz(D50), b"rXYZ": _xyz(columns[0]), b"gXYZ": _xyz(columns[1]),
        b"bXYZ": _xyz(columns[2]), b"rTRC": trc, b"gTRC": trc, b"bTRC": trc,
    }  # fmt: skip
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    header = struct.pack(
        ">I4s4s4s4s4s", offset + len(body), b"", b"\4\x40", b"mntr", b"RGB ", b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + b"".join(map(_fixed, D50))
    return header.ljust(128, b"\0") + table + body


def _curve(curve: TransferCurve) -> bytes:
    if isinstance(curve, np.ndarray):
        values = np.rint(curve * MAX_SAMPLE).astype(">u2")
        return struct.pack(">4sII", b"curv", 0, len(values)) + values.tobytes()
    parametric = struct.pack(">4sIHH", b"para", 0, 0 if len(curve) == 1 else 3, 0)
    return parametric + b"".join(_fixed(value) for value in curve)


def _adapted_columns(primaries: Primaries) -> NDArray[np.float64]:
    """Return float64 [3, 3]: XYZ of red, green and blue at full strength, seen under D50."""
    if any(y <= 0 for _, y in primaries):
        raise ValueError("a chromaticity's y must be positive")
    white, *corners = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries)
    matrix = np.stack(corners, axis=1)
    try:
        strengths = np.linalg.solve(matrix, white)
    except np.linalg.LinAlgError:
        raise ValueError("the primaries are on one line") from None
    gains = (BRADFORD @ D50) / (BRADFORD @ white)
    adapt = np.linalg.solve(BRADFORD, gains[:, np.newaxis] * BRADFORD)
    columns: NDArray[np.float64] = (adapt @ (matrix * strengths)).T
    return columns


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    """Return an s15Fixed16Number (section 4.6). Raises ValueError if out of range."""
    try:
        return struct.pack(">i", round(float(value) * 65536))
    except (struct.error, OverflowError):
        raise ValueError("a profile cannot hold this number") from None
