"""The checks of a preset: a file that passes all, and files that break one each."""

import io
import struct
import zlib
from typing import get_args

import pytest
from PIL import ExifTags, Image, ImageCms

from contract.errors import ErrorCode, PermanentError
from contract.policy import Policy
from contract.presets import PRESETS
from contract.rendition import PresetName, Rendition
from contract.requirements import Check
from worker.imaging.decode import Limits
from worker.verify import Verdict, fails_preset, verify

pytestmark = pytest.mark.slow

AMAZON = PRESETS["amazon-main"]
SIDE = 1200


def product(fill: float = 0.9, side: int = SIDE, grey: int = 40) -> Image.Image:
    """A box in the middle of a white square."""
    image = Image.new("RGB", (side, side), "white")
    low, high = round(side * (1 - fill) / 2), round(side * (1 + fill) / 2)
    image.paste((200, grey, grey), (low, low + side // 8, high, high - side // 8))
    return image


def file_of(image: Image.Image, form: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    if form == "JPEG":
        options = {"quality": 92, "subsampling": "4:4:4"} | options
    image.save(file, form, **options)
    return file.getvalue()


def verdict(data: bytes, preset: str = "amazon-main") -> Verdict:
    return verify(data, PRESETS[preset], Limits())


def failed_checks(data: bytes, preset: str = "amazon-main") -> set[Check]:
    return {result.check for result in verdict(data, preset).results if not result.passed}


def test_a_file_that_fulfils_every_requirement_passes():
    result = verdict(file_of(product()))
    assert result.passed
    assert result.failures == ""
    assert {str(check) for check in result.results} >= {
        "background #ffffff", "format JPEG", "colour_space sRGB", "frame clear",
        "longest_side 1,200 px", "channels RGB", "aspect 1:1",
    }  # fmt: skip


def test_the_limit_on_pixels_is_the_one_given(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = file_of(product())
    assert verify(data, AMAZON, Limits(pixels=SIDE**2)).passed
    with pytest.raises(PermanentError) as caught:
        verify(data, AMAZON, Limits(pixels=SIDE**2 - 1))
    assert caught.value.code is ErrorCode.TOO_MANY_PIXELS


def test_a_picture_of_one_endless_row_is_refused():
    """Its blocks of 8 rows would need gigabytes."""
    with pytest.raises(PermanentError) as caught:
        verdict(file_of(Image.new("L", (70_000, 1), 255), "PNG"))
    assert caught.value.code is ErrorCode.TOO_MANY_PIXELS


def test_the_names_of_presets_are_those_that_a_rendition_may_verify():
    assert get_args(PresetName) == (*PRESETS,)
    for name, preset in PRESETS.items():
        assert preset.name == preset.rendition.name == name
        assert preset.rendition.verify in {name, None}
        assert preset.rendition.model_validate_json(preset.rendition.model_dump_json())


def test_a_rendition_that_names_a_preset_fails_with_its_code():
    good, bad = file_of(product()), file_of(product(side=800))
    assert not fails_preset(good, AMAZON.rendition, Policy())
    assert not fails_preset(bad, Rendition(), Policy())
    assert fails_preset(bad, AMAZON.rendition, Policy(preset_failed="review"))
    with pytest.raises(PermanentError) as caught:
        fails_preset(bad, AMAZON.rendition, Policy())
    assert caught.value.code is ErrorCode.PRESET_FAILED
    assert "amazon-main: longest_side 800 px" in caught.value.message


def off_white() -> bytes:
    image = product()
    image.paste((254, 254, 254), (0, 0, 40, 40))
    return file_of(image)


def touching() -> bytes:
    image = product()
    image.paste((200, 40, 40), (0, 500, 100, 600))
    return file_of(image)


def soft() -> bytes:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    image.paste((232, 232, 232), (52, 100, SIDE - 52, SIDE - 100))
    image.paste(product().crop((84, 240, SIDE - 84, SIDE - 240)), (84, 240))
    return file_of(image)


def oblong() -> bytes:
    image = Image.new("RGB", (SIDE, 1100), "white")
    image.paste(product().crop((0, 50, SIDE, SIDE - 50)), (0, 0))
    return file_of(image)


def heavy() -> bytes:
    data = file_of(product())
    return data + bytes(10_000_001 - len(data))  # decoders ignore what follows the image


def adobe_rgb(name: str = "sRGB built-in") -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"  # red and green swapped
    names = [text.encode("utf-16-be") for text in ("sRGB built-in", name.ljust(13))]
    return file_of(product(), icc_profile=bytes(profile).replace(*names))


BROKEN = {
    Check.BACKGROUND: off_white,
    Check.FILL: lambda: file_of(product(fill=0.8)),
    Check.LONGEST_SIDE: lambda: file_of(product(side=800)),
    Check.FORMAT: lambda: file_of(product(), "PNG"),
    Check.COLOUR_SPACE: adobe_rgb,
    Check.BYTES: heavy,
    Check.ASPECT: oblong,
    Check.FRAME: touching,
    Check.SOFT_EDGE: soft,
}


@pytest.mark.parametrize("check", BROKEN, ids=str)
def test_a_file_that_breaks_one_requirement_fails_that_check_alone(check: Check):
    data = BROKEN[check]()
    assert failed_checks(data) == {check}
    failure = verdict(data).failures
    assert failure.startswith(check)
    assert "required: " in failure


def test_the_name_of_a_profile_cannot_control_a_terminal():
    failures = verdict(adobe_rgb("\x1b[31mRed\n\a")).failures
    assert failures == "colour_space \\x1b[31mRed\\n\\x07 (required: sRGB)"


def test_a_transparent_picture_fails_its_channels():
    image = product().convert("RGBA")
    image.putpixel((3, 3), (255, 255, 255, 254))
    data = file_of(image, "PNG")
    assert Check.CHANNELS in failed_checks(data)
    opaque = file_of(product().convert("RGBA"), "PNG")
    assert failed_checks(opaque) == {Check.FORMAT}
    assert failed_checks(opaque, "google-merchant") == set()


@pytest.mark.parametrize(
    ("preset", "check", "data"),
    [
        ("google-merchant", Check.FILL, file_of(product(fill=0.95))),
        ("google-merchant", Check.SHORTEST_SIDE, file_of(product(0.8, 480))),
        ("walmart", Check.SHORTEST_SIDE, file_of(product())),
        ("etsy", Check.SHORTEST_SIDE, file_of(product(side=1999))),
        ("ebay", Check.LONGEST_SIDE, file_of(product(side=496))),
        ("alpha", Check.CHANNELS, file_of(product(), "PNG")),
        ("mask", Check.CHANNELS, file_of(product(), "PNG")),
    ],
)  # fmt: skip
def test_each_preset_has_requirements_of_its_own(preset: str, check: Check, data: bytes):
    assert check in failed_checks(data, preset)


def test_cmyk_and_grey_files_are_named():
    cmyk = verdict(file_of(product().convert("CMYK")))
    assert "channels CMYK (required: RGB)" in cmyk.failures
    assert "colour_space CMYK" in cmyk.failures
    assert "channels grey" in verdict(file_of(product().convert("L"))).failures


def test_figures_and_requirements_are_told():
    failures = verdict(off_white()).failures
    assert "% of it is not #ffffff, by up to 1 (required: #ffffff)" in failures
    assert "fill 80 % (required: at least 85 %)" in verdict(file_of(product(0.8))).failures
    failures = verdict(file_of(product(side=800))).failures
    assert failures == "longest_side 800 px (required: 1,000 to 10,000 px)"


def test_a_file_that_is_no_image_cannot_be_checked():
    for data, code in (
        (b"", ErrorCode.EMPTY_FILE),
        (file_of(product())[:900], ErrorCode.TRUNCATED_IMAGE),
    ):
        with pytest.raises(PermanentError) as caught:
            verdict(data)
        assert caught.value.code is code
    with pytest.raises(PermanentError) as caught:
        verify(file_of(product()), AMAZON, Limits(pixels=1000))
    assert caught.value.code is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    "preset", ["amazon-main", "google-merchant", "walmart", "shopify", "etsy", "ebay"]
)
def test_an_empty_picture_fails_every_marketplace(preset: str):
    failures = verdict(file_of(Image.new("RGB", (2048, 2048), "white")), preset).failures
    assert "frame not found (required: clear)" in failures


def test_the_colour_space_of_a_png_is_what_its_chunks_state():
    """gAMA and cHRM of Adobe RGB."""
    data = file_of(product(), "PNG")
    gamma = struct.pack(">I", 45455)
    corners = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    chunks = png_chunk(b"gAMA", gamma) + png_chunk(b"cHRM", corners)
    assert failed_checks(data[:33] + chunks + data[33:], "google-merchant") == {Check.COLOUR_SPACE}
    assert verdict(data, "google-merchant").passed


def test_the_colour_space_of_an_avif_is_what_its_code_points_state():
    data = file_of(product(), "AVIF", quality=100, subsampling="4:4:4")
    assert verdict(data, "ebay").passed
    before = b"nclx" + struct.pack(">HH", 1, 13)
    assert data.count(before) == 1
    display_p3 = data.replace(before, b"nclx" + struct.pack(">HH", 12, 13))
    assert failed_checks(display_p3, "ebay") == {Check.COLOUR_SPACE}


def test_a_jpeg_that_lacks_its_last_scans_is_refused():
    """It is blurred, and its background is white."""
    data = file_of(product(), progressive=True)
    short = data[: data.rindex(b"\xff\xda")] + b"\xff\xd9"
    with pytest.raises(PermanentError) as caught:
        verdict(short)
    assert caught.value.code is ErrorCode.TRUNCATED_IMAGE


def test_the_colour_space_of_a_jpeg_may_be_stated_by_exif():
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    assert failed_checks(file_of(product(), exif=exif)) == {Check.COLOUR_SPACE}


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_file_of_endless_segments_is_refused_in_little_memory(form: str):
    data = file_of(product(), form)
    start, segment = (2, b"\xff\xec\0\2") if form == "JPEG" else (33, png_chunk(b"tIME", b""))
    data = data[:start] + segment * 100_001 + data[start:]
    with pytest.raises(PermanentError) as caught:
        verdict(data)
    assert caught.value.code is ErrorCode.CORRUPT_IMAGE


def test_a_damaged_comment_does_not_count():
    data = file_of(product(), "PNG")
    damaged = png_chunk(b"tEXt", b"Comment\0hello")[:-1] + b"!"
    assert verdict(data[:33] + damaged + data[33:], "google-merchant").passed


def png_chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum
