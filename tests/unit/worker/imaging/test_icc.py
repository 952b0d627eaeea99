"""Profiles that are built from chromaticities and curves, read by littleCMS."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.images import SRGB

from worker.imaging.icc import (
    BT709,
    BT2020,
    DISPLAY_P3,
    SRGB_CURVE,
    Primaries,
    rgb_profile,
)


def converted(profile: bytes, colours: list) -> np.ndarray:
    image = Image.fromarray(np.array([colours], np.uint8))
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (profile, SRGB))
    return np.asarray(ImageCms.profileToProfile(image, source, target), int)[0]


COLOURS = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 90), (10, 90, 220), (3, 200, 40)]


def test_srgb_is_littlecms_own():
    result = converted(rgb_profile(BT709, SRGB_CURVE), COLOURS)
    assert np.abs(result - COLOURS).max() <= 1


@pytest.mark.parametrize("primaries", [BT709, DISPLAY_P3, BT2020])
@pytest.mark.parametrize("curve", [SRGB_CURVE, (1.0,), (1.8,), (2.2,)])
def test_white_and_black_stay(primaries: Primaries, curve: tuple):
    ends = [(0, 0, 0), (255, 255, 255)]
    assert np.abs(converted(rgb_profile(primaries, curve), ends) - ends).max() <= 1


@pytest.mark.parametrize(
    ("primaries", "colour", "srgb"),
    [
        # by the matrices of CSS Color 4, section 18
        (DISPLAY_P3, (200, 100, 100), (215, 93, 97)),
        (DISPLAY_P3, (100, 150, 100), (83, 152, 95)),
        (BT2020, (150, 140, 120), (157, 139, 117)),
    ],
)
def test_a_wide_gamut_is_brought_into_srgb(primaries: Primaries, colour: tuple, srgb: tuple):
    result = converted(rgb_profile(primaries, SRGB_CURVE), [colour])[0]
    assert result.tolist() == pytest.approx(srgb, abs=3)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_a_gamma_is_applied(gamma: float):
    result = converted(rgb_profile(BT709, (gamma,)), [(64, 64, 64)])[0]
    linear = (64 / 255) ** gamma
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert result.tolist() == pytest.approx([expected] * 3, abs=1.5)


@pytest.mark.parametrize(
    ("primaries", "curve"),
    [
        (Primaries((0.3, 0), *BT709[1:]), SRGB_CURVE),
        (Primaries((0.3, 0.3), (0.6, 0.3), (0.6, 0.3), (0.6, 0.3)), SRGB_CURVE),
        (BT709, (1e9,)),
        (BT709, (float("nan"),)),
    ],
    ids=["white on the axis", "one corner", "huge gamma", "nan"],
)
def test_an_impossible_colour_space_is_refused(primaries: Primaries, curve: tuple):
    with pytest.raises(ValueError, match=r".+"):
        rgb_profile(primaries, curve)
