"""Writes a picture in the format of its rendition. The same pixels always give the same bytes."""

import io

from PIL import Image

from contract.errors import ErrorCode, PermanentError
from contract.rendition import Rendition
from worker.imaging.background import WHITE, colour_of, on_background
from worker.imaging.cutout import Bytes
from worker.imaging.decode import METRES_PER_INCH, Photograph
from worker.imaging.png import encoder
from worker.imaging.render import Picture

QUALITY = 90
STRIP = 1 << 20
"""Bytes of pixels flattened at a time."""
MOST_JPEG = 65_500
"""Pixels a side, in libjpeg."""
MOST_JPEG_DOTS = 65_535


def encode(picture: Picture, rendition: Rendition) -> bytes:
    """Return the file. Raises PermanentError (`too_many_pixels`) where a JPEG cannot hold it."""
    photograph = picture.cutout.photograph
    if rendition.channels == "alpha":
        return _grey_png(picture.matte(), photograph.dots_per_metre)
    background = rendition.background or (WHITE if rendition.format == "jpg" else None)
    rows: encoder.Rows = picture.rows
    if background:
        colour = colour_of(background, photograph.icc_profile)

        def rows(top: int, bottom: int) -> Bytes:
            return on_background(picture.rows(top, bottom), colour)

    if rendition.format == "jpg":
        return _jpeg(rows, picture.size, photograph)
    return encoder.encode(rows, picture.size, photograph.icc_profile, photograph.dots_per_metre)


def _grey_png(matte: Image.Image, dots_per_metre: tuple[int, int] | None) -> bytes:
    """Return an 8-bit grey PNG. The photograph's profile is of its colours, and not kept."""
    file = io.BytesIO()
    matte.save(file, "PNG", **_dots(dots_per_metre))
    return file.getvalue()


def _jpeg(rows: encoder.Rows, size: tuple[int, int], photograph: Photograph) -> bytes:
    """Return a JPEG of opaque rows, without chroma subsampling: edges of products are coloured."""
    width, height = size
    if max(size) > MOST_JPEG:
        raise PermanentError(
            ErrorCode.TOO_MANY_PIXELS, f"A JPEG cannot hold {width} x {height} pixels."
        )
    image = Image.new("RGB", size)
    lines = max(1, STRIP // (4 * width))
    for top in range(0, height, lines):
        strip = Image.fromarray(rows(top, min(top + lines, height)))
        image.paste(strip.convert("RGB"), (0, top))
    file = io.BytesIO()
    dots = photograph.dots_per_metre
    if dots and max(dots) * METRES_PER_INCH > MOST_JPEG_DOTS:
        dots = None
    profile = {"icc_profile": photograph.icc_profile} if photograph.icc_profile else {}
    image.save(file, "JPEG", quality=QUALITY, subsampling="4:4:4", **profile, **_dots(dots))
    return file.getvalue()


def _dots(dots_per_metre: tuple[int, int] | None) -> dict[str, tuple[float, float]]:
    """Return the resolution as Pillow takes it, in dots per inch."""
    if dots_per_metre is None:
        return {}
    across, down = dots_per_metre
    return {"dpi": (across * METRES_PER_INCH, down * METRES_PER_INCH)}
