"""A photograph whose header is read: its displayed size is known before any pixel is decoded."""

import io
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from worker.imaging.as_specified import as_specified
from worker.imaging.exif import ORIENTATION, read_exif
from worker.imaging.formats import DECODER_ERRORS
from worker.imaging.heif import heif_profile
from worker.imaging.icc import ADOBE_RGB, ADOBE_RGB_CURVE, rgb_profile
from worker.imaging.jpeg_markers import check_segments
from worker.imaging.png_chunks import take_apart
from worker.imaging.png_colour import png_profile
from worker.imaging.tiff.directory import Page, is_big_endian_bigtiff
from worker.imaging.tiff.layout import (
    Layout,
    check_read_by_tifffile,
    is_read_by_pillow,
    read_layout,
)
from worker.imaging.tiff.page import photograph_page
from worker.imaging.tiff.samples import read_samples
from worker.imaging.truncated_jpeg import load_whole

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
SWAPS_WIDTH_AND_HEIGHT = frozenset({5, 6, 7, 8})

METRES_PER_INCH = 0.0254
MAX_DOTS_PER_METRE = 2**31 - 1
"""The largest integer in a PNG chunk (PNG specification, section 7.1)."""

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Raster:
    """Decoded samples, upright as displayed."""

    image: Image.Image
    """in any of Pillow's modes but I and F: no file says how bright those values are"""
    alpha: Image.Image | None
    """mode L, if it is not part of `image`"""
    profile: bytes | None
    """ICC profile of `image`"""
    dots_per_metre: Size | None
    """(horizontal, vertical) as displayed; None if the file states no resolution"""


class Source(Protocol):
    """A photograph whose header is read."""

    size: Size
    """(width, height) in pixels, as displayed"""

    def read(self) -> Raster:
        """Decode the pixels. Raises what the decoder raises."""


def open_source(data: bytes, format_name: str) -> Source:
    """Read the header of a file in a format that `detect_format` returns.

    Raises PermanentError (`unsupported_format`), or what the decoder raises.
    """
    Image.MAX_IMAGE_PIXELS = None  # `Limits` is checked instead, and has an error code
    if format_name == "TIFF":
        return _open_tiff(data)
    data, image, profile = opened(data, format_name)
    orientation = read_exif(image).orientation
    swap = orientation in SWAPS_WIDTH_AND_HEIGHT
    size = image.size[::-1] if swap else image.size
    return _ByPillow(size, data, image, orientation, profile, swap=swap)


def opened(data: bytes, format_name: str) -> tuple[bytes, Image.Image, bytes | None]:
    """Open a file that is no TIFF, with the ICC profile of the colour space that it states.

    Returns what Pillow needs of the file, too. Raises what the decoder raises.
    """
    if format_name == "JPEG":
        check_segments(data)
    png = take_apart(data) if format_name == "PNG" else None
    data = png.data if png else data
    image = Image.open(io.BytesIO(data), formats=[format_name])
    profile = image.info.get("icc_profile")
    if png:
        profile = png_profile(png.colour_chunks, png.icc_profile)
    elif format_name in {"AVIF", "HEIF"}:
        profile = profile or heif_profile(data)
    elif format_name == "JPEG" and not profile and read_exif(image).is_adobe_rgb:
        profile = rgb_profile(ADOBE_RGB, ADOBE_RGB_CURVE)
    return data, image, profile


def _open_tiff(data: bytes) -> Source:
    page = photograph_page(data)
    layout = read_layout(page)
    orientation = page.value(ORIENTATION, 1)
    swap = orientation in SWAPS_WIDTH_AND_HEIGHT
    if is_big_endian_bigtiff(data) or not is_read_by_pillow(layout, page):
        check_read_by_tifffile(layout, page)
        size = (layout.height, layout.width) if swap else (layout.width, layout.height)
        return _ByTifffile(size, data, page, layout, orientation)
    image = Image.open(io.BytesIO(data), formats=["TIFF"])
    if page.index:
        image.info.clear()  # profile and resolution of a thumbnail before it
    image.seek(page.index)
    image.info.pop("xmp", None)  # see `read_exif`
    # Pillow itself turns a TIFF, and states its displayed size from the start
    profile = image.info.get("icc_profile")
    return _ByPillow(image.size, data, image, 1, profile, swap=swap)


@dataclass(slots=True)
class _ByPillow:
    size: Size
    data: bytes
    image: Image.Image
    orientation: int
    """what remains to be done to display the image upright"""
    profile: bytes | None
    swap: bool
    """whether the file's resolution is that of the turned image"""

    def read(self) -> Raster:
        load_whole(self.image, self.data)
        image = as_specified(self.image, self.data)
        resolution = _dots_per_metre(self.image.info.get("dpi"), swap=self.swap)
        return Raster(_upright(image, self.orientation), None, self.profile, resolution)


@dataclass(slots=True)
class _ByTifffile:
    size: Size
    data: bytes
    page: Page
    layout: Layout
    orientation: int

    def read(self) -> Raster:
        samples = read_samples(self.data, self.page, self.layout)
        image, alpha = _upright(samples.image, self.orientation), samples.alpha
        if alpha:
            alpha = _upright(alpha, self.orientation)
        swap = self.orientation in SWAPS_WIDTH_AND_HEIGHT
        return Raster(image, alpha, samples.profile, _dots_per_metre(samples.dpi, swap=swap))


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    transpose = TRANSPOSE_FOR_ORIENTATION.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def _dots_per_metre(dpi: object, *, swap: bool) -> Size | None:
    """Return the resolution as (horizontal, vertical), or None if missing or out of range."""
    try:
        horizontal, vertical = (round(float(value) / METRES_PER_INCH) for value in dpi)  # type: ignore[attr-defined]
    except DECODER_ERRORS:
        return None
    if not (0 < horizontal <= MAX_DOTS_PER_METRE and 0 < vertical <= MAX_DOTS_PER_METRE):
        return None
    return (vertical, horizontal) if swap else (horizontal, vertical)
