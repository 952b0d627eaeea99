"""AVIF and HEIC, through `decode`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.images import LIMITS, LOSSY, assert_like, encoded, exif, picture, refusal

from contract.errors import ErrorCode
from worker.imaging.decode import Limits, decode, displayed_size
from worker.imaging.heif import detect_heif, heif_profile
from worker.imaging.heif_boxes import primary_properties
from worker.imaging.icc import DISPLAY_P3, SRGB_CURVE, rgb_profile

FILES = Path(__file__).parent / "files"
AVIF = encoded(picture(), "AVIF", quality=95)


def heic(name: str) -> bytes:
    """A file of `picture()`: libheif's decoder has no encoder to write one here."""
    return (FILES / name).read_bytes()


@pytest.mark.parametrize("data", [AVIF, heic("picture.heic"), heic("turned.heic")],
                         ids=["AVIF", "HEIC", "turned HEIC"])  # fmt: skip
def test_avif_and_heic_are_read(data: bytes):
    photograph = decode(data, LIMITS)
    assert_like(photograph.rgb, picture(), LOSSY)
    assert photograph.alpha is None
    assert displayed_size(data) == photograph.size == picture().size


@pytest.mark.parametrize(
    "data", [encoded(picture("RGBA"), "AVIF", quality=95), heic("alpha.heic")], ids=["AVIF", "HEIC"]
)
def test_their_transparency_is_kept(data: bytes):
    photograph = decode(data, LIMITS)
    assert photograph.alpha is not None
    difference = np.abs(
        np.asarray(photograph.alpha, int) - np.asarray(picture("RGBA").getchannel("A"), int)
    )
    assert difference.mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_turned_once(orientation: int):
    data = encoded(picture(), "AVIF", quality=95, exif=exif(orientation))
    photograph = decode(data, LIMITS)
    assert photograph.size == displayed_size(data)
    assert photograph.size == (picture().size if orientation < 5 else picture().size[::-1])


@pytest.mark.parametrize("data", [AVIF, heic("picture.heic")], ids=["AVIF", "HEIC"])
def test_limits_are_checked_before_pixels_are_decoded(data: bytes):
    assert refusal(data, Limits(pixels=100)) is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("data", [AVIF, heic("picture.heic")], ids=["AVIF", "HEIC"])
def test_a_file_cut_short_is_refused(data: bytes):
    for share in (0.2, 0.5, 0.9):
        assert refusal(data[: int(len(data) * share)]) in {
            ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE,
        }  # fmt: skip


def brand(major: bytes, *others: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(others)
    return (len(body) + 4).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (brand(b"avif"), "AVIF"), (brand(b"avis"), "AVIF"), (brand(b"heic"), "HEIF"),
        (brand(b"heix"), "HEIF"), (brand(b"mif1", b"miaf", b"avif"), "AVIF"),
        (brand(b"mif1", b"heic"), "HEIF"), (brand(b"mif1", b"jpeg"), ""), (brand(b"isom"), ""),
        (b"\0\0", ""),
    ],
)  # fmt: skip
def test_the_brands_tell_the_format(data: bytes, name: str):
    assert detect_heif(data) == name


def test_code_points_of_a_wide_space_are_obeyed():
    at = AVIF.index(b"colrnclx") + 8
    wide = AVIF[:at] + b"\0\x0c\0\x0d" + AVIF[at + 4 :]
    assert heif_profile(AVIF) is None
    assert heif_profile(wide) == rgb_profile(DISPLAY_P3, SRGB_CURVE)
    plain, converted = (np.asarray(decode(data, LIMITS).rgb, int) for data in (AVIF, wide))
    assert np.abs(plain - converted).max() > 10
    assert heif_profile(AVIF[:at] + b"\xff" * 4 + AVIF[at + 4 :]) is None


def with_property(avif: bytes, content: bytes) -> bytes:
    """The file with one more property, which describes another image than the primary one."""
    box = (len(content) + 4).to_bytes(4, "big") + content
    end = avif.index(b"ipco") - 4 + int.from_bytes(avif[avif.index(b"ipco") - 4 :][:4], "big")
    data = bytearray(avif[:end] + box + avif[end:])
    for name in (b"meta", b"iprp", b"ipco"):
        at = data.index(name) - 4
        longer = int.from_bytes(data[at : at + 4], "big") + len(box)
        data[at : at + 4] = longer.to_bytes(4, "big")
    before = avif.index(b"mdat") + 4
    at = data.index(before.to_bytes(4, "big"), data.index(b"iloc"))  # where the pixels begin
    data[at : at + 4] = (before + len(box)).to_bytes(4, "big")
    return bytes(data)


def test_the_code_points_of_the_primary_image_count():
    """A gain map, or an image that is derived by one, states others."""
    at = AVIF.index(b"colrnclx") + 8
    wide = AVIF[:at] + b"\0\x0c\0\x0d" + AVIF[at + 4 :]
    with_map = with_property(wide, b"colrnclx\0\2\0\2\0\2\x80")
    assert heif_profile(with_map) == rgb_profile(DISPLAY_P3, SRGB_CURVE)
    assert_like(decode(with_map, LIMITS).rgb, decode(wide, LIMITS).rgb)
    assert heif_profile(with_property(AVIF, b"colrnclx\0\x09\0\x10\0\0\x80")) is None


@pytest.mark.parametrize("data", [AVIF, heic("picture.heic")], ids=["AVIF", "HEIC"])
def test_damaged_boxes_are_survived(data: bytes):
    header = data[: data.index(b"mdat")]
    for at in range(len(header)):
        for value in (0, 1, 255):
            damaged = header[:at] + bytes([value]) + header[at + 1 :]
            assert all(isinstance(each, bytes) for each in primary_properties(damaged, b"colr"))
        primary_properties(header[:at], b"colr")


@pytest.mark.parametrize(("curve", "white"), [(16, 148), (18, 191)], ids=["PQ", "HLG"])
def test_high_dynamic_range_is_tone_mapped(curve: int, white: int):
    data = encoded(Image.new("RGB", (16, 16), (white,) * 3), "AVIF", quality=100)
    at = data.index(b"colrnclx") + 8
    data = data[:at] + bytes([0, 9, 0, curve]) + data[at + 4 :]
    assert decode(data, LIMITS).rgb.getpixel((8, 8)) == pytest.approx((229,) * 3, abs=3)
