"""Encodes a picture in its rendition's format. The same pixels always give the same bytes."""

import io
import zipfile

import numpy as np
from PIL import Image

from contract.rendition import BLUR, Rendition
from worker.imaging.arrays import Uint8Array
from worker.imaging.background import covering, over_background, over_opaque, without_faint
from worker.imaging.colour import OPAQUE, WHITE, parse_colour
from worker.imaging.lossy import FORMATS, LossyFormat, check_size, dpi_option, write_lossy
from worker.imaging.png import encoder
from worker.imaging.png.strategy import Rows
from worker.imaging.render import Picture

JPEG_BLOCK_SIDE = 8
"""Pixels."""
STRIP_BYTES = 1 << 20
"""RGBA pixels that are converted at a time."""


def encode(picture: Picture, rendition: Rendition, backdrop: Image.Image | None = None) -> bytes:
    """Return the file's bytes.

    `backdrop`: an image (mode RGB) that fills the canvas behind the subject. Raises PermanentError:
    `too_many_pixels` if the format cannot hold the picture, `output_too_large` if it does not fit
    the rendition's `max_bytes`.
    """
    photograph = picture.cutout.photograph
    if rendition.channels == "alpha":
        return _grey_png(picture.matte(), photograph.dots_per_metre)
    if rendition.format == "zip":
        matte = _grey_png(picture.matte(), photograph.dots_per_metre)
        jpeg = FORMATS["jpg"]
        image = _assembled(_bled(picture.rows), picture.size, jpeg)
        return _zip({"color.jpg": write_lossy(image, jpeg, photograph), "alpha.png": matte})
    rows = _over_backdrop(picture, rendition, backdrop)
    if rendition.format == "png":
        return encoder.encode(rows, picture.size, photograph.icc_profile, photograph.dots_per_metre)
    form = FORMATS[rendition.format]
    if rendition.format == "avif" and rows == picture.rows:
        rows = _bled(rows)
    image = _assembled(rows, picture.size, form)
    return write_lossy(image, form, photograph, rendition.quality, rendition.max_bytes)


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
    if background == BLUR:
        blurred = picture.blurred_background()
        return lambda top, bottom: over_opaque(picture.rows(top, bottom), blurred.rows(top, bottom))
    colour = parse_colour(background, picture.cutout.photograph.icc_profile)

    def over_colour(top: int, bottom: int) -> Uint8Array:
        pixels = picture.subject_rows(top, bottom)
        if colour[3] == OPAQUE:
            pixels = without_faint(pixels)
        return over_background(picture.over_shadow(pixels, top), colour)

    return over_colour


def _bled(rows: Rows) -> Rows:
    """Return rows whose transparent pixels have the mean colour of the subject in their block.

    A JPEG compresses blocks of 8 x 8 pixels: a contrast at the subject's edge would leave its marks
    on the subject. Blocks without subject stay black. Rows are requested in whole blocks.
    """

    def bled(top: int, bottom: int) -> Uint8Array:
        pixels = rows(top, bottom)
        image = Image.fromarray(pixels)
        blocks = np.asarray(image.convert("RGBa").reduce(JPEG_BLOCK_SIDE).convert("RGBA"))
        filled = blocks.repeat(JPEG_BLOCK_SIDE, 0).repeat(JPEG_BLOCK_SIDE, 1)
        height, width = pixels.shape[:2]
        bled = np.where(pixels[..., 3:] == 0, filled[:height, :width], pixels)
        bled[..., 3] = pixels[..., 3]
        return bled

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
    matte.save(file, "PNG", **dpi_option(dots_per_metre))
    return file.getvalue()


def _assembled(rows: Rows, size: tuple[int, int], form: LossyFormat) -> Image.Image:
    """Return all rows as one image of a format. They are requested in whole blocks of a JPEG.

    Raises PermanentError (`too_many_pixels`) if the format cannot hold it.
    """
    check_size(size, form)
    width, height = size
    image = Image.new(form.mode, size)
    blocks = max(1, STRIP_BYTES // (4 * width * JPEG_BLOCK_SIDE))
    strip_rows = blocks * JPEG_BLOCK_SIDE
    for top in range(0, height, strip_rows):
        strip = Image.fromarray(rows(top, min(top + strip_rows, height)))
        image.paste(strip.convert(form.mode) if strip.mode != form.mode else strip, (0, top))
    return image
