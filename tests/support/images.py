"""Small images and their files, to decode and encode."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from contract.errors import ErrorCode, PermanentError
from worker.imaging.decode import Limits, decode

LIMITS = Limits()
WIDTH, HEIGHT = 48, 32
LOSSY = 8
"""Tolerance of `assert_like` for lossy formats."""
FORMATS = {
    "JPEG": (LOSSY, {"quality": 95}),
    "MPO": (LOSSY, {"quality": 95}),
    "PNG": (0, {}),
    "WEBP": (LOSSY, {"quality": 95}),
    "TIFF": (0, {}),
    "BMP": (0, {}),
    "GIF": (LOSSY, {}),
}
"""Tolerance and options of each format, by Pillow's name."""
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(mode: str = "RGB") -> Image.Image:
    """Smooth, so that lossy formats keep it, and asymmetric."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = Image.fromarray(np.stack([x * 5, y * 7, 40 + x + 3 * y], -1).astype(np.uint8))
    if mode in {"LA", "RGBA"}:
        image = image.convert(mode)
        image.putalpha(Image.fromarray((x * 5 + 10).astype(np.uint8)))
    return image.convert(mode)


def encoded(image: Image.Image, format_name: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def png(depth: int, colour: int, row: bytes, *chunks: tuple[bytes, bytes], width: int = 2) -> bytes:
    """A PNG of one row, byte by byte: Pillow writes neither 16-bit colour nor hostile chunks."""
    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def assert_like(result: Image.Image, expected: Image.Image, tolerance: float = 0) -> None:
    assert (result.mode, result.size) == (expected.mode, expected.size)
    difference = np.abs(np.asarray(result, float) - np.asarray(expected, float))
    assert difference.mean() <= tolerance / 2
    assert difference.max() <= tolerance * 6


def refusal(data: bytes, limits: Limits = LIMITS) -> ErrorCode:
    """Decode what must be refused; return the error's code."""
    with pytest.raises(PermanentError) as caught:
        decode(data, limits)
    return caught.value.code


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block


def profile(space: bytes) -> bytes:
    return SRGB[:16] + space + SRGB[20:]


def cmyk_profile() -> bytes:
    """A press that prints every ink as a light blue: L* = 80, a* = -10, b* = -30."""
    ink = bytes([80 * 255 // 100, 128 - 10, 128 - 30])
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    lut += ramp * 4 + ink * 16 + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags, table, offset = [(b"A2B0", lut), (b"wtpt", white)], b"", 128 + 4 + 2 * 12
    body = b""
    for name, data in tags:
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    size = offset + len(body)
    header = struct.pack(">I", size) + b"lcms\2\x10\0\0prtrCMYKLab " + SRGB[24:36] + b"acsp"
    header = header.ljust(68, b"\0") + SRGB[68:80]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
