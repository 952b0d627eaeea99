"""Measures an image file as it is: format, channels, colour space, size, background."""

import io
from dataclasses import dataclass

from PIL import Image, ImageCms

from contract import names
from contract.errors import ErrorCode, PermanentError
from worker.imaging.colour import is_srgb, parse_colour
from worker.imaging.decode import Limits, check_size
from worker.imaging.formats import decoder_errors_as_codes, detect_format
from worker.imaging.plain_background import OnPlainBackground, measure_on
from worker.imaging.source import opened
from worker.imaging.truncated_jpeg import load_whole

GREY_MODES = frozenset({"1", "L", "I", "F", "I;16"})


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of a file."""

    format: str
    """Pillow's name: JPEG, PNG, WEBP, ..."""
    channels: str
    """`grey`, `RGB`, `CMYK`, `RGBA` or another of Pillow's modes; RGBA is RGB if it is opaque"""
    colour_space: str
    """`sRGB`, `grey`, `CMYK`, or the name of the file's profile"""
    size: tuple[int, int]
    """(width, height) in pixels, as stored"""
    bytes: int
    on_background: OnPlainBackground | None
    """None if no colour of the background was given"""


def measure(data: bytes, limits: Limits, background: str | None = None) -> Measurement:
    """Measure a file. `background`: the colour #rrggbb that its background should have.

    Pixels that are not opaque count as black. Raises PermanentError as `decode` does, and
    `unsupported_format` for formats that only photographs may have.
    """
    Image.MAX_IMAGE_PIXELS = None  # `limits` is checked instead, and has an error code
    format_name = detect_format(data)
    with decoder_errors_as_codes(data, format_name):
        if format_name == "HEIF":
            raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, "The file is HEIC.")
        with _opened(data, format_name) as file:
            check_size(size := file.size, limits)
            load_whole(file, data)
            space = _colour_space(file)
            image = file.convert("RGBA") if file.has_transparency_data else file
            channels = _channels(image)
            on_background = None
            if background is not None:
                colour = parse_colour(background)[:3]
                on_background = measure_on(_opaque(image, channels), colour)
    return Measurement(format_name, channels, space, size, len(data), on_background)


def _opened(data: bytes, format_name: str) -> Image.Image:
    """Open a file, with the profile that it states as `icc_profile` of its `info`."""
    if format_name == "TIFF":
        return Image.open(io.BytesIO(data), formats=["TIFF"])
    _, image, profile = opened(data, format_name)
    image.info["icc_profile"] = profile
    return image


def _opaque(image: Image.Image, channels: str) -> Image.Image:
    """Return an image as mode RGB, black where it is not opaque."""
    if channels != "RGBA":
        return image if image.mode == "RGB" else image.convert("RGB")
    opaque = image.getchannel("A").point([0] * 255 + [255])
    return Image.composite(image.convert("RGB"), Image.new("RGB", image.size), opaque)


def _channels(image: Image.Image) -> str:
    if image.mode in GREY_MODES:
        return "grey"
    if image.mode == "P":
        return "RGB"
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return "RGB"
    return image.mode


def _colour_space(image: Image.Image) -> str:
    if image.mode in GREY_MODES:
        return "grey"
    if image.mode in {"CMYK", "LAB", "YCbCr"}:
        return image.mode
    profile = image.info.get("icc_profile")
    if not profile or is_srgb(profile):
        return "sRGB"
    try:
        description = ImageCms.getProfileDescription(io.BytesIO(profile)).strip()
    except (OSError, ImageCms.PyCMSError):
        description = ""
    return names.printable(description) or "another profile"
