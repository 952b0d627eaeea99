"""The colour space that a PNG states: cICP, iCCP, sRGB, or gAMA with cHRM, in this order.

See the PNG specification, third edition, section 4.3.
"""

import struct
from collections.abc import Iterator

from worker.imaging.icc import (
    BT709,
    BT709_CURVE,
    BT2020,
    DISPLAY_P3,
    SRGB_CURVE,
    Primaries,
    TransferCurve,
    rgb_profile,
)

CICP_PRIMARIES = {1: BT709, 9: BT2020, 12: DISPLAY_P3}
"""By ColourPrimaries of ITU-T H.273, table 2."""
CICP_CURVES: dict[int, TransferCurve] = {
    1: BT709_CURVE, 4: (2.2,), 5: (2.8,), 6: BT709_CURVE, 8: (1.0,), 13: SRGB_CURVE,
    14: BT709_CURVE, 15: BT709_CURVE,
}  # fmt: skip
"""By TransferCharacteristics of ITU-T H.273, table 3. High dynamic range (16, 18) is not here."""
SRGB_GAMMA = 1 / 2.2
"""gAMA of files in sRGB, whose curve is close to it."""
GAMMA_TOLERANCE = 0.02
CHROMATICITY_TOLERANCE = 0.003


def png_profile(data: bytes, icc_profile: bytes | None) -> bytes | None:
    """Return the ICC profile of a PNG's colours; None for sRGB. `icc_profile` is its iCCP."""
    chunks = dict(_colour_chunks(data))
    try:
        if b"cICP" in chunks and (profile := _of_cicp(chunks[b"cICP"])):
            return profile
        if icc_profile:
            return icc_profile
        if b"sRGB" in chunks:
            return None
        return _of_gamma(chunks)
    except (struct.error, ValueError):  # values that no display could have
        return None


def _colour_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and content of the chunks before the pixels that tell about colour."""
    position = 8
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        if name in {b"IDAT", b"PLTE"}:
            return
        if name in {b"cICP", b"sRGB", b"gAMA", b"cHRM"}:
            yield name, data[position + 8 : position + 8 + length]
        position += 12 + length


def _of_cicp(chunk: bytes) -> bytes | None:
    primaries, curve, matrix, full_range = struct.unpack(">4B", chunk)
    if matrix or not full_range or primaries not in CICP_PRIMARIES or curve not in CICP_CURVES:
        return None
    return rgb_profile(CICP_PRIMARIES[primaries], CICP_CURVES[curve])


def _of_gamma(chunks: dict[bytes, bytes]) -> bytes | None:
    """Return the profile of gAMA and cHRM; a missing one is that of sRGB."""
    gamma, primaries = SRGB_GAMMA, BT709
    if b"gAMA" in chunks:
        gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 1e5
    if b"cHRM" in chunks:
        xs_and_ys = [value / 1e5 for value in struct.unpack(">8I", chunks[b"cHRM"])]
        primaries = Primaries(*zip(xs_and_ys[::2], xs_and_ys[1::2], strict=True))
    if gamma <= 0:
        raise ValueError("a gamma must be positive")
    like_srgb = abs(gamma - SRGB_GAMMA) < GAMMA_TOLERANCE
    if like_srgb and _is_near(primaries, BT709):
        return None
    return rgb_profile(primaries, SRGB_CURVE if like_srgb else (1 / gamma,))


def _is_near(first: Primaries, second: Primaries) -> bool:
    return all(
        abs(a - b) < CHROMATICITY_TOLERANCE
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )
