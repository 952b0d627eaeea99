"""AVIF and HEIC: still images in ISO base media files (ISO/IEC 14496-12 and 23008-12)."""

import struct

import pi_heif
from PIL import AvifImagePlugin

from worker.imaging.heif_boxes import primary_properties
from worker.imaging.png_colour import cicp_profile

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
GENERAL_BRANDS = frozenset({b"mif1", b"msf1"})
"""Say nothing about the codec: another brand of the file does."""
MAX_BRANDS_BYTES = 256
HEADER_BYTES = 1 << 18
"""Where the properties of an image are looked for."""
COLOURS, CODE_POINTS = b"colr", b"nclx"
"""A box of that name begins with this if code points of ITU-T H.273 follow."""
SRGB_PRIMARIES = 1
SRGB_CURVE, LIKE_SRGB = 13, frozenset({1, 6, 14, 15})
"""Transfer characteristics. Those of video stand for sRGB's in still images, as viewers show."""

# one thread per image: there is a worker process for each CPU
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(
    thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
)


def detect_heif(data: bytes) -> str:
    """Return Pillow's name of the format, or empty if the file has another brand."""
    if data[4:8] != b"ftyp":
        return ""
    length = min(int.from_bytes(data[:4], "big"), MAX_BRANDS_BYTES)
    major = data[8:12]
    brands = {major}
    if major in GENERAL_BRANDS:
        brands |= {data[at : at + 4] for at in range(16, length, 4)}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & HEIC_BRANDS else ""


def heif_profile(data: bytes) -> bytes | None:
    """Return the ICC profile of the code points that a file states; None for sRGB."""
    header = data[:HEADER_BYTES]
    colours = primary_properties(header, COLOURS)
    stated = {fields[4:8] for fields in colours if fields[:4] == CODE_POINTS}
    if not stated:  # sequences, and images in tiles, may state them elsewhere
        stated = {fields[:4] for fields in header.split(COLOURS + CODE_POINTS)[1:]}
    if len(stated) != 1:
        return None
    primaries, curve = struct.unpack(">HH", stated.pop().ljust(4, b"\0"))
    curve = SRGB_CURVE if curve in LIKE_SRGB else curve
    if (primaries, curve) == (SRGB_PRIMARIES, SRGB_CURVE):
        return None
    return cicp_profile(primaries, curve, 0, 1)
