"""From untrusted bytes to pixels. The header is checked before any pixel is decoded."""

import io
from dataclasses import dataclass

from PIL import ExifTags, Image

from contract.errors import ErrorCode, PermanentError
from worker.imaging.as_specified import as_specified
from worker.imaging.colour import WHITE, to_rgb, to_srgb
from worker.imaging.formats import DECODER_ERRORS, decoder_errors_as_codes, detect_format
from worker.imaging.png_colour import png_profile

TRANSPOSE_FOR_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What displays an image upright, by the value of EXIF's Orientation tag (TIFF 6.0, tag 274)."""
SWAPS_WIDTH_AND_HEIGHT = {TRANSPOSE_FOR_ORIENTATION[orientation] for orientation in (5, 6, 7, 8)}

METRES_PER_INCH = 0.0254
MAX_DOTS_PER_METRE = 2**31 - 1
"""The largest integer in a PNG chunk (PNG specification, section 7.1)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a photograph may claim in its header."""

    pixels: int = 100_000_000
    """maximum of width x height"""


@dataclass(frozen=True, slots=True)
class Photograph:
    """A decoded photograph, upright as displayed."""

    rgb: Image.Image
    """mode RGB: uint8, 0..255"""
    alpha: Image.Image | None
    """mode L, 0..255, of the same size; None if the source has no transparency"""
    icc_profile: bytes | None = None
    """ICC profile of `rgb`; None for sRGB"""
    dots_per_metre: tuple[int, int] | None = None
    """(horizontal, vertical) as displayed; None if the file states no resolution"""

    def shown(self) -> Image.Image:
        """Return what the network is shown: RGB in sRGB, white where the source is transparent.

        That is `rgb` itself unless the source has transparency or keeps a profile.
        """
        image = self.rgb
        if self.icc_profile:
            image = to_srgb(image.copy(), self.icc_profile)
        if self.alpha is None:
            return image
        return Image.composite(image, Image.new("RGB", image.size, WHITE), self.alpha)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, as displayed."""
        return self.rgb.size


def decode(data: bytes, limits: Limits, *, keep_profile: bool = False) -> Photograph:
    """Decode the first frame, upright as EXIF says, and in sRGB unless its profile is to be kept.

    Raises PermanentError: `empty_file`, `not_an_image`, `unsupported_format`, `too_many_pixels`,
    `truncated_image`, `corrupt_image`; the first four before memory is spent on pixels.
    """
    format_name = detect_format(data)
    with decoder_errors_as_codes(data, format_name), _open(data, format_name) as image:
        width, height = image.size
        if width * height > limits.pixels:
            raise PermanentError(
                ErrorCode.TOO_MANY_PIXELS,
                f"{width} x {height} pixels are over the limit of {limits.pixels:,}.",
            )
        image.load()
        transpose = _upright_transpose(image)
        profile = image.info.get("icc_profile")
        if format_name == "PNG":
            profile = png_profile(data, profile)
        upright = as_specified(image)
        if transpose is not None:
            upright = upright.transpose(transpose)
        rgb, alpha, profile = to_rgb(upright, profile, keep_profile=keep_profile)
        resolution = _dots_per_metre(image, swap=transpose in SWAPS_WIDTH_AND_HEIGHT)
        return Photograph(rgb, alpha, profile, resolution)


def displayed_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) as EXIF turns it, from the header alone. Raises as `decode` does."""
    format_name = detect_format(data)
    with decoder_errors_as_codes(data, format_name), _open(data, format_name) as image:
        width, height = image.size
        swap = _upright_transpose(image) in SWAPS_WIDTH_AND_HEIGHT
        return (height, width) if swap else (width, height)


def _open(data: bytes, format_name: str) -> Image.Image:
    """Open an image, decoding only its header."""
    Image.MAX_IMAGE_PIXELS = None  # `Limits` is checked instead, and has an error code
    return Image.open(io.BytesIO(data), formats=[format_name])


def _upright_transpose(image: Image.Image) -> Image.Transpose | None:
    """Return what brings the image upright; None for upright images and unreadable EXIF."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DECODER_ERRORS:  # broken EXIF is common in sound photographs
        return None
    if not isinstance(orientation, int):
        return None
    return TRANSPOSE_FOR_ORIENTATION.get(orientation)


def _dots_per_metre(image: Image.Image, *, swap: bool) -> tuple[int, int] | None:
    """Return the resolution as (horizontal, vertical), or None if missing or out of range."""
    try:
        horizontal, vertical = (round(float(dpi) / METRES_PER_INCH) for dpi in image.info["dpi"])
    except DECODER_ERRORS:
        return None
    if not (0 < horizontal <= MAX_DOTS_PER_METRE and 0 < vertical <= MAX_DOTS_PER_METRE):
        return None
    return (vertical, horizontal) if swap else (horizontal, vertical)
