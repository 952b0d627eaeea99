"""JPEGs without their end marker: whole ones are read, those that are cut short are not."""

from worker.imaging.filled_up import LAST_ZEROS, pixels_digest, zeros_are_samples
from worker.imaging.jpeg_markers import END, may_lack_only_its_end

OTHER_BYTES = b"\x55" * 64
"""Ignored after a whole scan; read as samples in one that is cut short."""


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
