"""Encodes a picture in its rendition's format. The same pixels always give the same bytes."""

import io

from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.rendition import Rendition
from worker.imaging.arrays import Uint8Array
from worker.imaging.background import over_background
from worker.imaging.colour import WHITE, parse_colour
from worker.imaging.decode import METRES_PER_INCH, Photograph
from worker.imaging.png import encoder
from worker.imaging.png.strategy import Rows
from worker.imaging.render import Picture

JPEG_QUALITY = 90
STRIP_BYTES = 1 << 20
"""RGBA pixels that are converted at a time."""
MAX_JPEG_SIDE = 65_500
"""Pixels; libjpeg's own limit (JPEG_MAX_DIMENSION)."""
MAX_JPEG_DPI = 65_535
"""JFIF stores the resolution in 16 bits."""


def encode(picture: Picture, rendition: Rendition) -> bytes:
    """Return the file's bytes.

    Raises PermanentError (`too_many_pixels`) if the picture is too large for a JPEG.
    """
    photograph = picture.cutout.photograph
    if rendition.channels == "alpha":
        return _grey_png(picture.matte(), photograph.dots_per_metre)
    background = rendition.background or (WHITE if rendition.format == "jpg" else None)
    rows: Rows = picture.rows
    if background:
        colour = parse_colour(background, photograph.icc_profile)

        def rows(top: int, bottom: int) -> Uint8Array:
            return over_background(picture.rows(top, bottom), colour)

    if rendition.format == "jpg":
        return _jpeg(rows, picture.size, photograph)
    return encoder.encode(rows, picture.size, photograph.icc_profile, photograph.dots_per_metre)


def _grey_png(matte: Image.Image, dots_per_metre: tuple[int, int] | None) -> bytes:
    """Return a matte (mode L) as an 8-bit grey PNG. It has no profile: it is not a colour."""
    file = io.BytesIO()
    matte.save(file, "PNG", **_dpi_option(dots_per_metre))
    return file.getvalue()


def _jpeg(rows: Rows, size: tuple[int, int], photograph: Photograph) -> bytes:
    """Return a JPEG of opaque rows, without chroma subsampling, which blurs coloured edges."""
    width, height = size
    if max(size) > MAX_JPEG_SIDE:
        raise PermanentError(
            ErrorCode.TOO_MANY_PIXELS, f"A JPEG cannot hold {width} x {height} pixels."
        )
    image = Image.new("RGB", size)
    strip_rows = max(1, STRIP_BYTES // (4 * width))
    for top in range(0, height, strip_rows):
        strip = Image.fromarray(rows(top, min(top + strip_rows, height)))
        image.paste(strip.convert("RGB"), (0, top))
    file = io.BytesIO()
    dots = photograph.dots_per_metre
    if dots and max(dots) * METRES_PER_INCH > MAX_JPEG_DPI:
        dots = None
    image.save(
        file, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4",
        icc_profile=photograph.icc_profile, **_dpi_option(dots),
    )  # fmt: skip
    return file.getvalue()


def _dpi_option(dots_per_metre: tuple[int, int] | None) -> dict[str, tuple[float, float]]:
    """Return Pillow's option for the resolution, in dots per inch."""
    if dots_per_metre is None:
        return {}
    horizontal, vertical = dots_per_metre
    return {"dpi": (horizontal * METRES_PER_INCH, vertical * METRES_PER_INCH)}
