"""JPEGs without their end marker: whole ones are read, those that are cut short are not."""

import hashlib
import io

from PIL import Image

from worker.imaging.jpeg_markers import END, may_lack_only_its_end

OTHER_BYTES = b"\x55" * 64
"""Ignored after a whole scan; read as samples in one that is cut short."""
MIN_ZEROS = 64
"""At the end of a file: a failed copy may have left them in place of the rest. A flat area may be
coded by as many, but needs them all."""
STRIP_PIXELS = 1 << 20


def may_be_filled_up(data: bytes) -> bool:
    """Return whether a JPEG that Pillow reads ends in zeros instead of its end marker."""
    return data.endswith(bytes(MIN_ZEROS)) and may_lack_only_its_end(data)


def with_end(data: bytes) -> bytes | None:
    """Return a JPEG with its end marker, or None if more than that is missing.

    A decoder fills up what is missing of a scan, without an error. So the pixels of a scan that is
    cut short depend on what follows, and those of a whole one do not. Decodes twice, and up to four
    times if the file ends in zeros. Raises what Pillow raises.
    """
    if not may_lack_only_its_end(data):
        return None
    scans = data.removesuffix(END[:1])
    whole = _pixels_digest(scans + END)
    if _pixels_digest(scans + OTHER_BYTES + END) != whole or _is_filled_up(scans, whole):
        return None
    return scans + END


def _is_filled_up(scans: bytes, whole: bytes) -> bool:
    """Return whether zeros at the end replace samples: the first ones are read, the last are not.

    `whole`: the digest of the pixels.
    """
    samples = scans.rstrip(b"\0")
    if len(scans) - len(samples) < MIN_ZEROS:
        return False
    if _pixels_digest(scans[:-MIN_ZEROS] + OTHER_BYTES + END) != whole:
        return False
    return _pixels_digest(samples + OTHER_BYTES + END) != whole


def _pixels_digest(data: bytes) -> bytes:
    """Return a digest of the decoded pixels, so that only one image is in memory at a time."""
    digest = hashlib.blake2b()
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        width, height = image.size
        image.load()
        rows = max(1, STRIP_PIXELS // width)
        for top in range(0, height, rows):
            digest.update(image.crop((0, top, width, min(height, top + rows))).tobytes())
    return digest.digest()
