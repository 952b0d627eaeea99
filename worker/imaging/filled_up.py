"""Files whose rest is zeros, as after a failed copy: some decoders read those as samples."""

import hashlib
import io

from PIL import Image

from worker.imaging.formats import DECODER_ERRORS

FORMATS = frozenset({"WEBP", "AVIF", "HEIF"})
"""Those whose zeros are checked after decoding. For JPEGs see `truncated_jpeg`."""
MIN_ZEROS = 512
"""Fewer at the end of a file are no failed copy, which leaves whole sectors."""
FIRST_ZEROS, LAST_ZEROS = 16, 64
"""Of zeros at the end: the first may be a whole file's own; of the last it needs some."""
OTHER = b"\x55"
STRIP_PIXELS = 1 << 20


def is_filled_up(data: bytes, format_name: str) -> bool:
    """Return whether zeros replace the rest of a file that its decoder reads.

    Decodes three times if the file ends in many zeros, else not at all.
    """
    if format_name not in FORMATS:
        return False
    if format_name == "WEBP":
        data = data[: int.from_bytes(data[4:8], "little") + 8]  # what is behind is no part of it
    if not data.endswith(bytes(MIN_ZEROS)):
        return False
    whole = pixels_digest(data, format_name)
    return zeros_are_samples(data, format_name, whole)


def zeros_are_samples(data: bytes, format_name: str, whole: bytes, end: bytes = b"") -> bool:
    """Return whether zeros at the end replace samples: the first ones are read, the last are not.

    A flat area may be coded by zeros too, but needs them all. `whole`: the digest of the pixels;
    `end`: what follows `data`.
    """

    def changes(first: int) -> bool:
        other = data[:first].ljust(len(data), OTHER) + end
        try:
            return pixels_digest(other, format_name) != whole
        except DECODER_ERRORS:
            return True

    return not changes(len(data) - LAST_ZEROS) and changes(len(data.rstrip(b"\0")) + FIRST_ZEROS)


def pixels_digest(data: bytes, format_name: str) -> bytes:
    """Return a digest of the decoded pixels, so that only one image is in memory at a time."""
    digest = hashlib.blake2b()
    with Image.open(io.BytesIO(data), formats=[format_name]) as image:
        width, height = image.size
        image.load()
        rows = max(1, STRIP_PIXELS // width)
        for top in range(0, height, rows):
            digest.update(image.crop((0, top, width, min(height, top + rows))).tobytes())
    return digest.digest()
