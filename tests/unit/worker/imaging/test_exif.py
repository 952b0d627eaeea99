"""What EXIF says of colours. Its orientation is in test_decode.py."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from support.images import LIMITS, encoded

from worker.imaging.decode import decode

TO_XYZ = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529],
                   [0.02703, 0.07069, 0.99134]])  # fmt: skip
"""Adobe RGB (1998), version 2005-05, section 4.3.5.3."""
FROM_XYZ = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415],
                     [0.0557, -0.2040, 1.0570]])  # fmt: skip
"""IEC 61966-2-1."""
COLOUR = (170, 120, 90)


def exif_of(index: str) -> Image.Exif:
    """Return EXIF as cameras write it: an uncalibrated colour space, and which one it is."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update({0xA001: 0xFFFF, 0xA005: {1: index}})
    return exif


def in_srgb(colour: tuple[int, int, int]) -> np.ndarray:
    linear = FROM_XYZ @ TO_XYZ @ (np.array(colour) / 255) ** (563 / 256)
    return 255 * (1.055 * linear ** (1 / 2.4) - 0.055)


def decoded(index: str, **options: object) -> np.ndarray:
    data = encoded(
        Image.new("RGB", (32, 32), COLOUR), "JPEG", quality=100, exif=exif_of(index), **options
    )
    return np.asarray(decode(data, LIMITS).rgb)[16, 16]


def test_adobe_rgb_is_known_by_exif_alone():
    assert np.abs(decoded("R03") - in_srgb(COLOUR)).max() < 2
    assert np.abs(in_srgb(COLOUR) - COLOUR).max() > 10


@pytest.mark.parametrize("index", ["R98", "THM", ""])
def test_other_indexes_are_srgb(index: str):
    assert np.abs(decoded(index).astype(int) - COLOUR).max() < 2


def test_a_profile_counts_more_than_exif():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.abs(decoded("R03", icc_profile=srgb).astype(int) - COLOUR).max() < 2
