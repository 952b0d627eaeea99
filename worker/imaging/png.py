"""Encodes a cut-out. The same pixels always give the same bytes."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode(cutout: NDArray[np.uint8], icc_profile: bytes | None = None) -> bytes:
    """Return an 8-bit RGBA PNG of uint8 [height, width, 4], with the profile embedded."""
    buffer = io.BytesIO()
    Image.fromarray(cutout).save(buffer, "PNG", compress_level=6, icc_profile=icc_profile)
    return buffer.getvalue()
