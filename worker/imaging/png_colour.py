"""The colour space that a PNG states: cICP, iCCP, sRGB, or gAMA with cHRM, in this order.

See the PNG specification, third edition, section 4.3.
"""

import struct

from contract.errors import ErrorCode, PermanentError
from worker.imaging.hdr import hlg_curve, pq_curve
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
"""By TransferCharacteristics of ITU-T H.273, table 3."""
HDR_CURVES = {16: pq_curve, 18: hlg_curve}
"""Those of high dynamic range, PQ and HLG. Their primaries are those of BT.2020 unless stated."""
SRGB_GAMMA = 1 / 2.2
"""gAMA of files in sRGB, whose curve is close to it."""
GAMMA_TOLERANCE = 0.02
CHROMATICITY_TOLERANCE = 0.003


def png_profile(chunks: dict[bytes, bytes], icc_profile: bytes | None) -> bytes | None:
    """Return the ICC profile of a PNG's colours; None for sRGB.

    `chunks`: cICP, sRGB, gAMA and cHRM; `icc_profile`: its iCCP. Raises PermanentError as
    `cicp_profile` does.
    """
    try:
        if b"cICP" in chunks and (profile := cicp_profile(*chunks[b"cICP"])):
            return profile
        if icc_profile:
            return icc_profile
        if b"sRGB" in chunks:
            return None
        return _of_gamma(chunks)
    except (struct.error, ValueError):  # values that no display could have
        return None


def cicp_profile(primaries: int, curve: int, matrix: int, full_range: int) -> bytes | None:
    """Return the ICC profile of RGB by its code points of ITU-T H.273; None if not known.

    High dynamic range is tone mapped. Raises PermanentError (`unsupported_format`) if its samples
    are no full-range RGB.
    """
    if curve in HDR_CURVES:
        if matrix or not full_range:
            message = "The file has a high dynamic range, and samples that are not full-range RGB."
            raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, message)
        return rgb_profile(CICP_PRIMARIES.get(primaries, BT2020), HDR_CURVES[curve]())
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
