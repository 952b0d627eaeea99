"""Colours of photographs, through `decode`, and of backgrounds."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.images import (
    LIMITS,
    SRGB,
    assert_like,
    cmyk_profile,
    encoded,
    picture,
    png,
    profile,
    refusal,
)
from support.odd_photographs import bmp_v4, with_alpha

from contract.errors import ErrorCode
from worker.imaging.colour import parse_colour
from worker.imaging.decode import decode
from worker.imaging.icc import BT709, BT2020, DISPLAY_P3, SRGB_CURVE, rgb_profile


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
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.25] * 3], np.float32), [64] * 3),
        (np.array([[-1e-4, 0, 1 + 1e-4]], np.float32), [0, 0, 255]),
        (np.array([[np.nan, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[np.nan] * 3], np.float32), [0, 0, 0]),
    ],
    ids=["I;16", "F", "constant", "rounded", "nan", "only nan"],
)
def test_deep_grey_tiffs_are_brought_to_eight_bits(samples: np.ndarray, expected: list[int]):
    photograph = decode(encoded(Image.fromarray(samples), "TIFF"), LIMITS)
    assert np.asarray(photograph.rgb)[0].tolist() == [[v, v, v] for v in expected]


@pytest.mark.parametrize(
    "samples",
    [
        np.array([[0, 0.5, 2]], np.float32), np.array([[-1, 0, 1]], np.float32),
        np.array([[0, np.inf, 1]], np.float32), np.array([[-5, 0, 5]], np.int32),
    ],
    ids=["beyond 1", "below 0", "infinite", "signed"],
)  # fmt: skip
def test_grey_of_an_unknown_white_is_refused(samples: np.ndarray):
    assert refusal(encoded(Image.fromarray(samples), "TIFF")) is ErrorCode.UNSUPPORTED_FORMAT


MODES = ["RGB", "RGBA", "P", "L", "LA", "I;16"]
P3 = rgb_profile(DISPLAY_P3, SRGB_CURVE)


def of_mode(mode: str) -> Image.Image:
    return Image.new("I;16", (4, 4), 30_000) if mode == "I;16" else picture(mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_wide_profile_is_kept_if_the_recipe_says_so(mode: str):
    data = encoded(of_mode(mode), "PNG", icc_profile=P3)
    kept, converted = decode(data, LIMITS, keep_profile=True), decode(data, LIMITS)
    assert (kept.icc_profile, converted.icc_profile) == (P3, None)
    assert_like(kept.rgb, decode(encoded(of_mode(mode), "PNG"), LIMITS).rgb)
    # the network sees the same colours either way
    assert_like(kept.shown(), converted.shown(), 1)


@pytest.mark.parametrize("mode", MODES)
def test_srgb_and_unusable_profiles_are_dropped(mode: str):
    for unusable in (SRGB, profile(b"GRAY"), profile(b"CMYK")):
        data = encoded(of_mode(mode), "PNG", icc_profile=unusable)
        photograph = decode(data, LIMITS, keep_profile=True)
        assert photograph.icc_profile is None
        assert_like(photograph.rgb, decode(encoded(of_mode(mode), "PNG"), LIMITS).rgb)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    "wide", [P3, rgb_profile(BT2020, (2.2,)), rgb_profile(BT709, (1.0,))],
    ids=["P3", "BT.2020", "linear"],
)  # fmt: skip
def test_colours_are_converted_to_srgb(format_name: str, wide: bytes):
    options = {"lossless": True} if format_name == "WEBP" else {}
    data = encoded(picture(), format_name, icc_profile=wide, **options)
    reference = ImageCms.profileToProfile(
        Image.open(io.BytesIO(data)).convert("RGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(wide)), ImageCms.createProfile("sRGB"),
    )  # fmt: skip
    result = decode(data, LIMITS).rgb
    assert_like(result, reference, 1)
    assert np.abs(np.asarray(result, int) - np.asarray(picture(), int)).max() > 10


def test_grey_is_converted_by_its_profile():
    """A grey profile of gamma 1: a mid grey becomes as bright as half the light."""
    linear = bytearray(rgb_profile(BT709, (1.0,)))
    linear[16:20] = b"GRAY"
    data = encoded(Image.new("L", (4, 4), 128), "PNG", icc_profile=linear.replace(b"rTRC", b"kTRC"))
    assert decode(data, LIMITS).rgb.getpixel((0, 0)) == pytest.approx((188,) * 3, abs=2)


@pytest.mark.parametrize(
    ("chunks", "value", "expected"),
    [
        ([], 128, 128),
        ([(b"gAMA", struct.pack(">I", 45455))], 128, 128),
        ([(b"gAMA", struct.pack(">I", 100_000))], 128, 188),
        ([(b"gAMA", struct.pack(">I", 55_556))], 128, 147),
        ([(b"gAMA", struct.pack(">I", 100_000)), (b"sRGB", b"\0")], 128, 128),
        ([(b"gAMA", struct.pack(">I", 0))], 128, 128),
        ([(b"cICP", bytes([1, 8, 0, 1])), (b"sRGB", b"\0")], 128, 188),
        ([(b"cICP", bytes([1, 13, 0, 1])), (b"gAMA", struct.pack(">I", 100_000))], 128, 128),
        # diffuse white, of 203 cd/m2, leaves room for what is brighter
        ([(b"cICP", bytes([9, 16, 0, 1]))], 148, 229),
        ([(b"cICP", bytes([9, 16, 0, 1])), (b"sRGB", b"\0")], 255, 255),
        ([(b"cICP", bytes([1, 16, 0, 1]))], 0, 0),
        ([(b"cICP", bytes([9, 18, 0, 1]))], 191, 229),
        ([(b"cICP", bytes([2, 18, 0, 1]))], 191, 229),
        ([(b"cICP", bytes([9, 18, 0, 1]))], 255, 255),
        ([(b"cICP", b"\1")], 128, 128),
        ([(b"cHRM", struct.pack(">8I", *[0] * 8))], 128, 128),
    ],
    ids=["none", "sRGB's gamma", "linear", "1.8", "sRGB wins", "zero", "cICP wins", "cICP sRGB",
         "PQ's white", "PQ's peak", "PQ's black", "HLG's white", "HLG's without primaries",
         "HLG's peak", "short", "no primaries"],
)  # fmt: skip
def test_a_png_states_its_colours_in_chunks(chunks: list, value: int, expected: int):
    data = png(8, 2, bytes([value] * 6), *chunks)
    assert decode(data, LIMITS).rgb.getpixel((0, 0)) == pytest.approx((expected,) * 3, abs=2)


@pytest.mark.parametrize("code_points", [(9, 16, 9, 1), (9, 18, 0, 0)], ids=["matrix", "narrow"])
def test_high_dynamic_range_in_other_samples_is_refused(code_points: tuple):
    data = png(8, 2, bytes([128] * 6), (b"cICP", bytes(code_points)))
    assert refusal(data) is ErrorCode.UNSUPPORTED_FORMAT


def test_a_png_states_its_primaries():
    corners = [v for corner in DISPLAY_P3 for v in corner]
    chunk = (b"cHRM", struct.pack(">8I", *(round(v * 1e5) for v in corners)))
    data = png(8, 2, bytes([100, 150, 100] * 2), chunk)
    assert decode(data, LIMITS).rgb.getpixel((0, 0)) == pytest.approx((83, 152, 95), abs=3)


def test_cmyk_of_a_jpeg_without_adobes_marker_is_not_inverted():
    image = Image.new("CMYK", (16, 16), (200, 40, 10, 30))
    data = encoded(image, "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    without = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    inverted = image.point(lambda value: 255 - value)
    assert_like(decode(data, LIMITS).rgb, image.convert("RGB"), 3)
    assert_like(decode(without, LIMITS).rgb, inverted.convert("RGB"), 3)


def tiff(samples: bytes, *tags: tuple[int, int, int]) -> bytes:
    """A little-endian TIFF of 2 x 1 pixels: tag, type (3: 16 bits) and value."""
    offset = 8 + 2 + 12 * (len(tags) + 4) + 4
    always = [(256, 3, 2), (257, 3, 1), (273, 4, offset), (279, 4, len(samples))]
    entries = sorted([*always, *tags])
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4) + samples


@pytest.mark.parametrize(
    ("samples", "bits", "photometric", "expected"),
    [
        (struct.pack("<2H", 0xFFFF, 0x8000), 16, 1, [255, 128]),
        (struct.pack("<2H", 0xFFFF, 0x8000), 16, 0, [0, 127]),
        (bytes([0xFF, 0xF8, 0x00]), 12, 1, [255, 128]),
    ],
    ids=["16 bits", "white is zero", "12 bits"],
)
def test_a_grey_tiff_is_read_as_specified(samples, bits: int, photometric: int, expected: list):
    data = tiff(samples, (258, 3, bits), (262, 3, photometric), (277, 3, 1))
    rgb = decode(data, LIMITS).rgb
    assert [rgb.getpixel((x, 0)) for x in (0, 1)] == [(v, v, v) for v in expected]


def test_a_bmp_without_values_in_its_alpha_channel_is_opaque():
    photograph = decode(bmp_v4(with_alpha(picture(), 0)), LIMITS)
    assert photograph.alpha is None
    assert_like(photograph.rgb, picture())


def test_a_bmp_with_values_in_its_alpha_channel_keeps_them():
    photograph = decode(bmp_v4(picture("RGBA")), LIMITS)
    assert photograph.alpha is not None
    assert photograph.alpha.tobytes() == picture("RGBA").getchannel("A").tobytes()


def test_lab_is_converted_without_a_profile():
    image = Image.new("LAB", (4, 4), (128, 128, 128))
    photograph = decode(encoded(image, "TIFF"), LIMITS)
    assert photograph.rgb.getpixel((0, 0)) == pytest.approx((119,) * 3, abs=3)


def test_the_network_sees_white_where_the_source_is_transparent():
    image = Image.new("RGBA", (4, 4), (200, 10, 10, 0))
    image.paste((200, 10, 10, 255), (0, 0, 2, 4))
    shown = decode(encoded(image, "PNG"), LIMITS).shown()
    assert [shown.getpixel((x, 0)) for x in (0, 3)] == [(200, 10, 10), (255, 255, 255)]


def test_an_opaque_photograph_is_shown_without_a_copy():
    photograph = decode(encoded(picture(), "PNG"), LIMITS)
    assert photograph.shown() is photograph.rgb


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
