"""Colours of photographs, through `decode`, and of backgrounds."""

import struct

import numpy as np
import pytest
from PIL import Image
from support.images import (
    LIMITS,
    SRGB,
    assert_like,
    cmyk_profile,
    encoded,
    picture,
    png,
    profile,
)

from worker.imaging.colour import parse_colour
from worker.imaging.decode import decode


@pytest.mark.parametrize(
    ("data", "rgb", "alpha"),
    [
        (png(16, 0, struct.pack(">2H", 65535, 256)), [255, 1], None),
        (png(16, 2, struct.pack(">6H", 65535, 0x8000, 256, 0, 99, 0xFF00)),
         [(255, 128, 1), (0, 0, 255)], None),
        (png(16, 4, struct.pack(">4H", 65535, 0x8000, 256, 65535)), [255, 1], [128, 255]),
        (png(16, 6, struct.pack(">8H", 65535, 0x8000, 256, 0x8000, 0, 0, 0xFF00, 65535)),
         [(255, 128, 1), (0, 0, 255)], [128, 255]),
        (png(16, 0, struct.pack(">2H", 65535, 256), (b"tRNS", b"\1\0")), [255, 1], [255, 0]),
        (png(8, 0, b"\xff\x10", (b"tRNS", b"\0\x10")), [255, 16], [255, 0]),
        (png(8, 2, b"\xff\x10\x20\1\2\3", (b"tRNS", b"\0\1\0\2\0\3")),
         [(255, 16, 32), (1, 2, 3)], [255, 0]),
        (png(1, 0, b"\x80", (b"tRNS", b"\0\0")), [255, 0], [255, 0]),
        (png(8, 3, b"\0\1", (b"PLTE", b"\1\2\3\4\5\6"), (b"tRNS", b"\x80")),
         [(1, 2, 3), (4, 5, 6)], [128, 255]),
    ],
    ids=["grey16", "rgb16", "la16", "rgba16", "grey16 key", "grey8 key", "rgb8 key", "1 key", "P"],
)  # fmt: skip
def test_a_png_of_any_depth_keeps_its_colours_and_transparency(data: bytes, rgb: list, alpha):
    photograph = decode(data, LIMITS)
    expected = [(v, v, v) if isinstance(v, int) else v for v in rgb]
    assert [photograph.rgb.getpixel((x, 0)) for x in (0, 1)] == expected
    result = photograph.alpha and [photograph.alpha.getpixel((x, 0)) for x in (0, 1)]
    assert result == alpha


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[0, 256, 0xFFFF]], np.uint16), [0, 1, 255]),
        (np.array([[-5, 0, 5]], np.int32), [0, 127, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 127, 255]),
        (np.array([[-3e38, 0, 3e38]], np.float32), [0, 127, 255]),
        (np.array([[7, 7, 7]], np.float32), [0, 0, 0]),
        (np.array([[np.nan, 1, 2]], np.float32), [0, 0, 255]),
        (np.array([[-np.inf, 1, np.inf]], np.float32), [0, 0, 0]),
        (np.array([[0, np.inf, 1]], np.float32), [0, 255, 255]),
        (np.array([[np.nan] * 3], np.float32), [0, 0, 0]),
    ],
    ids=["I;16", "I", "F", "huge", "constant", "nan", "only inf", "inf", "only nan"],
)
def test_deep_grey_tiffs_are_brought_to_eight_bits(samples: np.ndarray, expected: list[int]):
    photograph = decode(encoded(Image.fromarray(samples), "TIFF"), LIMITS)
    assert np.asarray(photograph.rgb)[0].tolist() == [[v, v, v] for v in expected]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "I;16"])
def test_a_profile_is_kept_if_it_is_for_rgb_and_dropped_if_for_grey(mode: str):
    image = Image.new("I;16", (4, 4)) if mode == "I;16" else picture(mode)
    for space, kept in [(b"RGB ", True), (b"GRAY", False)]:
        given_profile = profile(space)
        result = decode(encoded(image, "PNG", icc_profile=given_profile), LIMITS).icc_profile
        assert result == (given_profile if kept else None)


@pytest.mark.parametrize("broken", [b"rubbish" * 30, SRGB[:30], SRGB[:16] + b"RGB "])
def test_a_broken_profile_is_dropped(broken: bytes):
    photograph = decode(encoded(picture(), "PNG", icc_profile=broken), LIMITS)
    assert_like(photograph.rgb, picture())
    assert photograph.icc_profile is None


@pytest.mark.parametrize("format_name", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile(format_name: str):
    data = encoded(picture("CMYK"), format_name, icc_profile=cmyk_profile())
    photograph = decode(data, LIMITS)
    assert photograph.icc_profile is None
    pixels = np.asarray(photograph.rgb).reshape(-1, 3)
    assert (pixels == pixels[0]).all()  # without the profile it would be the picture
    # Lab 80, -10, -30 by the textbook; the rendering intent moves it a little
    assert pixels[0].tolist() == pytest.approx([148, 205, 254], abs=30)


@pytest.mark.parametrize("wrong", [SRGB, b"rubbish" * 30, cmyk_profile()[:140]])
def test_cmyk_with_an_unusable_profile_is_converted_without(wrong: bytes):
    photograph = decode(encoded(picture("CMYK"), "TIFF", icc_profile=wrong), LIMITS)
    assert_like(photograph.rgb, picture("CMYK").convert("RGB"))
    assert photograph.icc_profile is None


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        ("#ffffff", (255, 255, 255, 255)), ("#81d4fa", (129, 212, 250, 255)),
        ("#81d4fa77", (129, 212, 250, 119)), ("#00000000", (0, 0, 0, 0)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("profile", [None, SRGB, b"broken"], ids=["none", "sRGB", "broken"])
def test_a_colour_is_srgb(text: str, colour: tuple, profile: bytes | None):
    assert np.abs(np.subtract(parse_colour(text, profile), colour)).max() <= 1


def swapped() -> bytes:
    """Return a profile in which red stands where sRGB has green."""
    directory, rest = SRGB[:132], SRGB[132:]
    rest = rest.replace(b"rXYZ", b"----").replace(b"gXYZ", b"rXYZ").replace(b"----", b"gXYZ")
    return directory + rest


def test_a_colour_is_brought_into_the_photographs_profile():
    assert parse_colour("#ff0000aa", swapped()) == (
        pytest.approx(0, abs=2), pytest.approx(255, abs=2), pytest.approx(0, abs=2), 170,
    )  # fmt: skip
    assert parse_colour("#ffffff", swapped()) == (255, 255, 255, 255)
