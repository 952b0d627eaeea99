"""Writes JPEG, WebP and AVIF, at a quality or within a number of bytes."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from PIL import Image, ImageFile

from contract.errors import ErrorCode, PermanentError
from worker.imaging.decode import Photograph
from worker.imaging.source import METRES_PER_INCH

MIN_QUALITY = 50
"""The lowest quality that a limit of bytes leads to.

White stays 255 in a JPEG of quality 46 or more; below, at some qualities, it becomes 254.
"""
MAX_PROGRESSIVE_PIXELS = 2_000_000
"""A larger JPEG, as marketplaces want, is baseline: 40 % of the time for 7 % more bytes."""
MAX_OPTIMISED_PIXELS = 16_000_000
"""A larger JPEG has standard Huffman tables: for its own, libjpeg keeps 6 bytes per pixel."""
MAX_OPTIMISED_BYTES = 10
"""Per pixel: three samples of up to 26 bits. Pillow's own buffer has 1 or 2, too few for noise."""
MAX_JPEG_DPI = 65_535
"""JFIF stores the resolution in 16 bits."""
WEBP_METHOD = 2
"""0 fastest to 6: 0.6 of the time of libwebp's default of 4, for 2 % more bytes."""
MAX_AVIF_PIXELS = 36_000_000
"""The encoder needs 37 bytes of memory per pixel: 1.3 GB for these."""
AVIF_SPEED = 8
"""0 slowest to 10: at 4 megapixels 0.7 s, half of Pillow's default of 6, for 20 % more bytes."""


def _write_jpeg(image: Image.Image, quality: int, photograph: Photograph) -> bytes:
    """Without chroma subsampling, which doubles the error at a coloured edge on white."""
    file = io.BytesIO()
    dots = photograph.dots_per_metre
    if dots and max(dots) * METRES_PER_INCH > MAX_JPEG_DPI:
        dots = None
    pixels = image.width * image.height
    optimised = pixels <= MAX_OPTIMISED_PIXELS
    with _buffer(MAX_OPTIMISED_BYTES * pixels if optimised else 0):
        image.save(
            file, "JPEG", quality=quality, subsampling="4:4:4", optimize=optimised,
            progressive=pixels <= MAX_PROGRESSIVE_PIXELS, icc_profile=photograph.icc_profile,
            **dpi_option(dots),
        )  # fmt: skip
    return file.getvalue()


@contextmanager
def _buffer(size: int) -> Iterator[None]:
    """Let Pillow write to a buffer of at least `size` bytes: a whole JPEG, if it is optimised.

    Only what is written of it takes memory.
    """
    before = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(before, size)
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = before


def _write_webp(image: Image.Image, quality: int, photograph: Photograph) -> bytes:
    """Lossy colours, and an alpha that is not. WebP knows no resolution."""
    file = io.BytesIO()
    image.save(
        file, "WEBP", quality=quality, alpha_quality=100, method=WEBP_METHOD,
        icc_profile=photograph.icc_profile,
    )  # fmt: skip
    return file.getvalue()


def _write_avif(image: Image.Image, quality: int, photograph: Photograph) -> bytes:
    """Lossy colours and alpha, in one thread: every other CPU has its own child."""
    file = io.BytesIO()
    image.save(
        file, "AVIF", quality=quality, subsampling="4:4:4", speed=AVIF_SPEED, max_threads=1,
        icc_profile=photograph.icc_profile,
    )  # fmt: skip
    return file.getvalue()


class LossyFormat(NamedTuple):
    """How a format is written, and what it can hold."""

    name: str
    mode: str
    """Pillow's mode of the images that it holds"""
    quality: int
    """default, 1..100; each format has its own scale"""
    max_side: int
    """pixels"""
    max_pixels: int
    """width x height"""
    write: Callable[[Image.Image, int, Photograph], bytes]


FORMATS = {
    # libjpeg's own limit (JPEG_MAX_DIMENSION), WebP's of the format, and libavif's of its decoder
    "jpg": LossyFormat("JPEG", "RGB", 90, 65_500, 65_500**2, _write_jpeg),
    "webp": LossyFormat("WebP", "RGBA", 90, 16_383, 16_383**2, _write_webp),
    "avif": LossyFormat("AVIF", "RGBA", 75, 32_768, MAX_AVIF_PIXELS, _write_avif),
}


def check_size(size: tuple[int, int], form: LossyFormat) -> None:
    """Raise PermanentError (`too_many_pixels`) if a format cannot hold (width, height) pixels."""
    if max(size) > form.max_side or size[0] * size[1] > form.max_pixels:
        raise PermanentError(
            ErrorCode.TOO_MANY_PIXELS,
            "{} x {} pixels are too many for {}: shrink the output by max_side.".format(
                *size, form.name
            ),
        )


def write_lossy(
    image: Image.Image,
    form: LossyFormat,
    photograph: Photograph,
    quality: int | None = None,
    max_bytes: int | None = None,
) -> bytes:
    """Return an image of the format's mode as a file.

    If that is larger than `max_bytes`, the quality is lowered to the highest that fits, by
    bisection: at most 8 encodings. Raises PermanentError (`output_too_large`) if MIN_QUALITY, or a
    lower `quality`, does not fit.
    """
    high = quality or form.quality
    data = form.write(image, high, photograph)
    if max_bytes is None or len(data) <= max_bytes:
        return data
    low = min(high, MIN_QUALITY)
    smallest = form.write(image, low, photograph)
    if len(smallest) > max_bytes:
        raise PermanentError(
            ErrorCode.OUTPUT_TOO_LARGE,
            f"At quality {low}, the output has {len(smallest):,} bytes; at most {max_bytes:,} are"
            " allowed.",
        )
    while high - low > 1:
        middle = (low + high) // 2
        data = form.write(image, middle, photograph)
        if len(data) <= max_bytes:
            low, smallest = middle, data
        else:
            high = middle
    return smallest


def dpi_option(dots_per_metre: tuple[int, int] | None) -> dict[str, tuple[float, float]]:
    """Return Pillow's option for the resolution, in dots per inch."""
    if dots_per_metre is None:
        return {}
    horizontal, vertical = dots_per_metre
    return {"dpi": (horizontal * METRES_PER_INCH, vertical * METRES_PER_INCH)}
