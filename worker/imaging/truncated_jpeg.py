"""JPEGs that are cut short, and whole ones that lack only their end marker."""

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from worker.imaging.filled_up import LAST_ZEROS, pixels_digest, zeros_are_samples
from worker.imaging.jpeg_markers import END, may_lack_only_its_end, read_structure

OTHER_BYTES = b"\x55" * 64
"""Ignored after a whole scan; read as samples in one that is cut short."""

FILLING = frozenset({127, 128})
"""Samples of the grey with which libjpeg fills up a scan that ends early, whatever its colours."""


def load_whole(image: Image.Image, data: bytes) -> None:
    """Decode an opened file's pixels. Raises OSError for a JPEG that `_ends_early`."""
    image.load()
    if isinstance(image, JpegImageFile) and _ends_early(data, image):
        raise OSError("truncated")


def _ends_early(data: bytes, image: Image.Image) -> bool:
    """Return whether a JPEG that Pillow reads, `image`, was cut short and then given an end marker.

    Missing samples are noticed where they are a last row or more. Decodes twice if that row is
    grey; what is grey in a whole file does not depend on bytes behind its samples. Of a progressive
    JPEG, a missing scan is noticed, but not the missing rest of its last one.
    """
    if image.info.get("progressive"):
        structure = read_structure(data)
        return structure.end is not None and bool(structure.pending)
    width, height = image.size
    row = image.crop((0, height - 1, width, height))
    if not FILLING.issuperset(row.tobytes()):
        return False
    end = read_structure(data).end
    if end is None:
        return False
    longer = data[:end] + OTHER_BYTES + data[end:]
    return pixels_digest(longer, "JPEG") != pixels_digest(data, "JPEG")


def may_be_filled_up(data: bytes) -> bool:
    """Return whether a JPEG that Pillow reads ends in zeros instead of its end marker."""
    return data.endswith(bytes(LAST_ZEROS)) and may_lack_only_its_end(data)


def with_end(data: bytes) -> bytes | None:
    """Return a JPEG with its end marker, or None if more than that is missing.

    A decoder fills up what is missing of a scan, without an error. So the pixels of a scan that is
    cut short depend on what follows, and those of a whole one do not. Decodes twice, and up to four
    times if the file ends in zeros. Raises what Pillow raises.
    """
    if not may_lack_only_its_end(data):
        return None
    scans = data.removesuffix(END[:1])
    whole = pixels_digest(scans + END, "JPEG")
    if pixels_digest(scans + OTHER_BYTES + END, "JPEG") != whole:
        return None
    if scans.endswith(bytes(LAST_ZEROS)) and zeros_are_samples(scans, "JPEG", whole, END):
        return None
    return scans + END
