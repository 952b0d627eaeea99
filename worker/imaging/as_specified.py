"""Corrects samples that Pillow reads otherwise than the file's format specifies."""

import numpy as np
from PIL import Image, ImageChops

BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC, PLANES = 258, 259, 262, 284
COLOUR_MAP, EXTRA_SAMPLES = 320, 338
"""Tags of TIFF 6.0: sections 8, 5 and 18."""
WHITE_IS_ZERO = 0
BITS_OF_BYTE = 8
BYTE = 256
"""Values of 8 bits."""


def as_specified(image: Image.Image) -> Image.Image:
    """Return a decoded image with its samples as its format specifies them.

    Raises ValueError if Pillow has read them wrongly beyond repair.
    """
    match image.format:
        case "JPEG" | "MPO" if image.mode == "CMYK" and "adobe" not in image.info:
            # only Adobe's programs store CMYK inverted, and those write a marker
            return ImageChops.invert(image)
        case "BMP" if image.mode == "RGBA" and image.getchannel("A").getbbox() is None:
            return image.convert("RGB")  # the writer filled in no alpha
        case "TIFF":
            return _tiff_as_specified(image)
    return image


def _tiff_as_specified(image: Image.Image) -> Image.Image:
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = max(tags.get(BITS_PER_SAMPLE, (1,)))
    if bits > BITS_OF_BYTE and tags.get(PLANES, 1) != 1 and tags.get(COMPRESSION, 1) == 1:
        raise ValueError("uncompressed planes of more than 8 bits are read as if they had 8")
    if image.mode == "RGBA" and EXTRA_SAMPLES not in tags:
        return image.convert("RGB")  # a fourth sample that no tag calls alpha
    if image.mode == "P" and max(tags.get(COLOUR_MAP, (BYTE,))) < BYTE:
        # old writers gave 8 bits per entry where 16 are specified
        entries = np.array(tags[COLOUR_MAP], np.uint8).reshape(3, -1)
        image.putpalette(entries.T.tobytes())
    elif image.mode.startswith("I;16"):
        samples = np.asarray(image)
        if BITS_OF_BYTE < bits < 2 * BITS_OF_BYTE:
            samples = (samples.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16)
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
            samples = 65535 - samples
        return Image.fromarray(samples)
    return image
