"""What EXIF says about a photograph's pixels. Reads none of them."""

from typing import NamedTuple

from PIL import ExifTags, Image

from worker.imaging.formats import DECODER_ERRORS

ORIENTATION = int(ExifTags.Base.Orientation)
INTEROPERABILITY_INDEX = 1
ADOBE_RGB_INDEX = "R03"
"""The "DCF optional colour space" of DCF 2.0: cameras state Adobe RGB by it, without a profile."""


class Exif(NamedTuple):
    """Pixels that are upright and in sRGB, unless EXIF says otherwise."""

    orientation: int = 1
    """1..8"""
    is_adobe_rgb: bool = False


def read_exif(image: Image.Image) -> Exif:
    """Read the EXIF of an opened image; what is missing or unreadable has its default."""
    exif = Image.Exif()
    try:
        # not `getexif`: without EXIF it takes XMP's, which programs leave when they turn pixels
        exif.load(image.info.get("exif") or b"")
        orientation = exif.get(ORIENTATION)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(INTEROPERABILITY_INDEX)
    except DECODER_ERRORS:  # broken EXIF is common in sound photographs
        return Exif()
    return Exif(orientation if isinstance(orientation, int) else 1, index == ADOBE_RGB_INDEX)
