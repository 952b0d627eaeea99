"""Puts a colour behind a cut-out, in integers."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from worker.imaging.cutout import Bytes

Colour = tuple[int, int, int, int]
OPAQUE = 255
WHITE = "#ffffff"


def colour_of(text: str, icc_profile: bytes | None = None) -> Colour:
    """Return an sRGB colour (#rrggbb or #rrggbbaa) as RGBA, each 0..255, in a picture's profile.

    In a profile that cannot be read the numbers stay.
    """
    red, green, blue, *alpha = bytes.fromhex(text.removeprefix("#"))
    if icc_profile and text[:7] != WHITE:  # white is the paper, whatever the profile
        dot = Image.new("RGB", (1, 1), (red, green, blue))
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            ImageCms.profileToProfile(dot, ImageCms.createProfile("sRGB"), profile, inPlace=True)
        except (OSError, ImageCms.PyCMSError):
            pass
        red, green, blue = dot.tobytes()
    return red, green, blue, alpha[0] if alpha else OPAQUE


def on_background(pixels: Bytes, colour: Colour) -> Bytes:
    """Return uint8 [height, width, 4], straight alpha: the pixels (the same) over a colour.

    Every value is the exact one, rounded to the nearest.
    """
    found = np.empty_like(pixels)
    alpha = pixels[..., 3:].astype(np.uint16)
    behind = np.array(colour[:3], np.uint16)
    if colour[3] == OPAQUE:
        found[..., :3] = _by_255(pixels[..., :3] * alpha + behind * (OPAQUE - alpha))
        found[..., 3] = OPAQUE
        return found
    above, below = alpha * OPAQUE, colour[3] * (OPAQUE - alpha)
    both = (above + below).astype(np.uint32)
    blend = pixels[..., :3] * above.astype(np.uint32) + behind * below.astype(np.uint32)
    found[..., :3] = (blend + both // 2) // np.maximum(both, 1)
    found[..., 3:] = _by_255(above + below)
    found[found[..., 3] == 0] = 0  # nothing hidden is published
    return found


def _by_255(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Divide 0..65025 by 255, rounded to the nearest, without a division."""
    values += 128
    values += values >> np.uint16(8)
    values >>= np.uint16(8)
    return values
