"""Encodes a picture in its rendition's format. The same pixels always give the same bytes."""

import io
import zipfile

import numpy as np
from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.rendition import Rendition
from worker.imaging.arrays import Uint8Array
from worker.imaging.background import covering, over_background, over_opaque
from worker.imaging.colour import WHITE, parse_colour
from worker.imaging.decode import Photograph
from worker.imaging.png import encoder
from worker.imaging.png.strategy import Rows
from worker.imaging.render import Picture
from worker.imaging.source import METRES_PER_INCH

JPEG_QUALITY = 90
"""Also that of a WebP."""
JPEG_BLOCK_SIDE = 8
"""Pixels."""
STRIP_BYTES = 1 << 20
"""RGBA pixels that are converted at a time."""
MAX_JPEG_SIDE = 65_500
"""Pixels; libjpeg's own limit (JPEG_MAX_DIMENSION)."""
MAX_WEBP_SIDE = 16_383
"""Pixels; the format's own limit."""
MAX_JPEG_DPI = 65_535
"""JFIF stores the resolution in 16 bits."""


def encode(picture: Picture, rendition: Rendition, backdrop: Image.Image | None = None) -> bytes:
    """Return the file's bytes.

    `backdrop`: an image (mode RGB) that fills the canvas behind the subject. Raises PermanentError
    (`too_many_pixels`) if the picture is too large for a JPEG or a WebP.
    """
    photograph = picture.cutout.photograph
    if rendition.channels == "alpha":
        return _grey_png(picture.matte(), photograph.dots_per_metre)
    if rendition.format == "zip":
        matte = _grey_png(picture.matte(), photograph.dots_per_metre)
        return _zip({"color.jpg": _jpeg(_bled(picture.rows), picture.size, photograph),
                     "alpha.png": matte})  # fmt: skip
    rows = _over_backdrop(picture, rendition, backdrop)
    if rendition.format == "jpg":
        return _jpeg(rows, picture.size, photograph)
    if rendition.format == "webp":
        return _webp(rows, picture.size, photograph)
    return encoder.encode(rows, picture.size, photograph.icc_profile, photograph.dots_per_metre)


def _over_backdrop(picture: Picture, rendition: Rendition, backdrop: Image.Image | None) -> Rows:
    """Return the rows of a picture over the rendition's background, or over an image."""
    if backdrop is not None:
        filled = covering(backdrop, picture.size)

        def over_image(top: int, bottom: int) -> Uint8Array:
            behind = np.asarray(filled.crop((0, top, picture.size[0], bottom)))
            return over_opaque(picture.rows(top, bottom), behind)

        return over_image
    background = rendition.background or (WHITE if rendition.format == "jpg" else None)
    if not background:
        return picture.rows
    colour = parse_colour(background, picture.cutout.photograph.icc_profile)
    return lambda top, bottom: over_background(picture.rows(top, bottom), colour)


def _bled(rows: Rows) -> Rows:
    """Return rows whose transparent pixels have the mean colour of the subject in their block.

    A JPEG compresses blocks of 8 x 8 pixels: a contrast at the subject's edge would leave its marks
    on the subject. Blocks without subject stay black. Rows are asked for in whole blocks.
    """

    def bled(top: int, bottom: int) -> Uint8Array:
        pixels = rows(top, bottom)
        image = Image.fromarray(pixels)
        blocks = np.asarray(image.convert("RGBa").reduce(JPEG_BLOCK_SIDE).convert("RGBA"))
        filled = blocks.repeat(JPEG_BLOCK_SIDE, 0).repeat(JPEG_BLOCK_SIDE, 1)
        height, width = pixels.shape[:2]
        return np.where(pixels[..., 3:] == 0, filled[:height, :width], pixels)

    return bled


def _zip(files: dict[str, bytes]) -> bytes:
    """Return a ZIP of files that are compressed already."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, data in files.items():
            writer.writestr(zipfile.ZipInfo(name), data)  # dated 1980: the same bytes each time
    return archive.getvalue()


def _grey_png(matte: Image.Image, dots_per_metre: tuple[int, int] | None) -> bytes:
    """Return a matte (mode L) as an 8-bit grey PNG. It has no profile: it is not a colour."""
    file = io.BytesIO()
    matte.save(file, "PNG", **_dpi_option(dots_per_metre))
    return file.getvalue()


def _jpeg(rows: Rows, size: tuple[int, int], photograph: Photograph) -> bytes:
    """Return a JPEG of opaque rows, without chroma subsampling, which blurs coloured edges."""
    if max(size) > MAX_JPEG_SIDE:
        raise PermanentError(
            ErrorCode.TOO_MANY_PIXELS, "A JPEG cannot hold {} x {} pixels.".format(*size)
        )
    image = _assembled(rows, size, "RGB")
    file = io.BytesIO()
    dots = photograph.dots_per_metre
    if dots and max(dots) * METRES_PER_INCH > MAX_JPEG_DPI:
        dots = None
    image.save(
        file, "JPEG", quality=JPEG_QUALITY, subsampling="4:4:4",
        icc_profile=photograph.icc_profile, **_dpi_option(dots),
    )  # fmt: skip
    return file.getvalue()


def _webp(rows: Rows, size: tuple[int, int], photograph: Photograph) -> bytes:
    """Return a WebP: lossy colours, and an alpha that is not. WebP knows no resolution."""
    if max(size) > MAX_WEBP_SIDE:
        raise PermanentError(
            ErrorCode.TOO_MANY_PIXELS, "A WebP cannot hold {} x {} pixels.".format(*size)
        )
    file = io.BytesIO()
    _assembled(rows, size, "RGBA").save(
        file, "WEBP", quality=JPEG_QUALITY, alpha_quality=100, method=4,
        icc_profile=photograph.icc_profile,
    )  # fmt: skip
    return file.getvalue()


def _assembled(rows: Rows, size: tuple[int, int], mode: str) -> Image.Image:
    """Return all rows as one image. They are asked for in whole blocks of a JPEG."""
    width, height = size
    image = Image.new(mode, size)
    blocks = max(1, STRIP_BYTES // (4 * width * JPEG_BLOCK_SIDE))
    strip_rows = blocks * JPEG_BLOCK_SIDE
    for top in range(0, height, strip_rows):
        strip = Image.fromarray(rows(top, min(top + strip_rows, height)))
        image.paste(strip.convert(mode) if strip.mode != mode else strip, (0, top))
    return image


def _dpi_option(dots_per_metre: tuple[int, int] | None) -> dict[str, tuple[float, float]]:
    """Return Pillow's option for the resolution, in dots per inch."""
    if dots_per_metre is None:
        return {}
    horizontal, vertical = dots_per_metre
    return {"dpi": (horizontal * METRES_PER_INCH, vertical * METRES_PER_INCH)}
