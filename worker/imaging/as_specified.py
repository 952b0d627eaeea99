"""Corrects samples that Pillow reads otherwise than the file's format specifies."""

import imagecodecs
import numpy as np
from PIL import Image, ImageChops

from worker.imaging.tiff.directory import EXTRA_SAMPLES

COLOUR_MAP = 320
"""Tag of TIFF 6.0, section 5."""
BYTE = 256
"""Values of 8 bits."""
PNG_DEPTH, PNG_COLOUR_TYPE = 24, 25
"""Bytes of a PNG that hold its bits per sample and its colour type (section 11.2.1)."""
GREY, RGB = 0, 2


def as_specified(image: Image.Image, data: bytes) -> Image.Image:
    """Return a decoded image with its samples as its format specifies them.

    `data` is the file.
    """
    match image.format:
        case "JPEG" | "MPO" if image.mode == "CMYK" and "adobe" not in image.info:
            # only Adobe's programs store CMYK inverted, and those write a marker
            return ImageChops.invert(image)
        case "BMP" if image.mode == "RGBA" and image.getchannel("A").getbbox() is None:
            return image.convert("RGB")  # the writer filled in no alpha
        case "PNG" if "transparency" in image.info:
            return _with_colour_key(image, data)
        case "TIFF":
            return _tiff_as_specified(image)
    return image


def _with_colour_key(image: Image.Image, data: bytes) -> Image.Image:
    """Return a PNG's image with the colour that tRNS names as transparent, at the file's depth."""
    depth, colour_type = data[PNG_DEPTH], data[PNG_COLOUR_TYPE]
    if (depth, colour_type) == (16, RGB):
        # at 8 bits, neighbouring colours would be transparent too
        alpha = np.asarray(imagecodecs.png_decode(data))[..., 3]
        image.info.pop("transparency")
        image.putalpha(Image.fromarray((alpha != 0).astype(np.uint8) * 255))
    elif colour_type == GREY and depth in {2, 4}:
        image.info["transparency"] *= (BYTE - 1) // (2**depth - 1)
    return image


def _tiff_as_specified(image: Image.Image) -> Image.Image:
    tags = image.tag_v2  # type: ignore[attr-defined]
    if image.mode == "RGBA" and EXTRA_SAMPLES not in tags:
        return image.convert("RGB")  # a fourth sample that no tag calls alpha
    if image.mode == "P" and max(tags.get(COLOUR_MAP, (BYTE,))) < BYTE:
        # old writers gave 8 bits per entry where 16 are specified
        entries = np.array(tags[COLOUR_MAP], np.uint8).reshape(3, -1)
        image.putpalette(entries.T.tobytes())
    return image
