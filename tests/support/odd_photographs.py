"""Photographs as old cameras, scanners, phones and shops leave them, and what they show."""

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageChops

from support.paths import SAMPLES

SIZE = 320, 212
"""Of the picture that each of them shows."""
MEAN_TOLERANCE = 4
"""Levels of 255 by which the lossy ones may differ in the mean."""


class Odd(NamedTuple):
    data: bytes
    shown: Image.Image
    """mode RGB, what a user sees"""


def coffee() -> Image.Image:
    return Image.open(SAMPLES / "coffee.jpg").convert("RGB").resize(SIZE)


def readable(picture: Image.Image) -> dict[str, Odd]:
    """Files that show the picture or its greys, exactly or nearly."""
    grey = picture.convert("L").convert("RGB")
    return {name: Odd(data, picture) for name, data in _in_colour(picture).items()} | {
        name: Odd(data, grey) for name, data in _in_grey(np.asarray(picture.convert("L"))).items()
    }


def _in_colour(picture: Image.Image) -> dict[str, bytes]:
    png = saved(picture, "PNG")
    return {
        "no-end.jpg": saved(picture, "JPEG", quality=98)[:-2],
        "plain-cmyk.jpg": _cmyk_without_adobes_marker(picture),
        "avif.jpg": saved(picture, "AVIF", quality=95),
        "workflow.png": with_chunk(png, b"zTXt", b"k\0\0" + zlib.compress(bytes(3_000_000))),
        "damaged-text.png": with_chunk(png, b"tEXt", b"k\0text").replace(b"k\0text", b"k\0test"),
        "empty-srgb.png": with_chunk(png, b"sRGB", b""),
        "no-alpha.bmp": bmp_v4(with_alpha(picture, 0)),
    } | _tiffs_in_colour(picture)


def _tiffs_in_colour(picture: Image.Image) -> dict[str, bytes]:
    rgb = np.asarray(picture)
    opaque = np.full(rgb.shape[:2], 255, np.uint8)
    cmyka = np.dstack([np.asarray(picture.convert("CMYK")), opaque])
    deep = np.moveaxis(rgb.astype(np.uint16) * 257, -1, 0)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    in_rgb = {"photometric": "rgb"}
    return {
        "planes.tif": tiff((deep, in_rgb | {"planarconfig": "separate"})),
        "cmyk-alpha.tif": tiff(
            (cmyka, {"photometric": "separated", "extrasamples": ["unassalpha"]})
        ),
        "fourth-sample.tif": tiff(
            (np.dstack([rgb, opaque // 2]), in_rgb | {"extrasamples": ["unspecified"]})
        ),
        "thumbnail.tif": tiff((rgb[::4, ::4], in_rgb | {"subfiletype": 1}), (rgb, in_rgb)),
        "turned.tif": saved(
            picture.transpose(Image.Transpose.ROTATE_90), "TIFF", exif=turned,
            compression="tiff_adobe_deflate",
        ),
        "big-endian.tif": tiff((rgb, in_rgb), bigtiff=True, byteorder=">"),
        "lerc.tif": tiff((rgb, in_rgb | {"compression": "lerc"})),
        "webp.tif": tiff((rgb, in_rgb | {"compression": "webp"})),
    }  # fmt: skip


def _in_grey(grey: np.ndarray) -> dict[str, bytes]:
    deep = grey.astype(np.uint16) * 257
    black = {"photometric": "minisblack"}
    with_opacity = np.dstack([deep, np.full_like(deep, 0xFFFF)])
    return {
        "negative.tif": tiff((0xFFFF - deep, {"photometric": "miniswhite"})),
        "twelve-bits.tif": tiff((deep >> 4, black | {"bitspersample": 12})),
        "grey-alpha.tif": tiff((with_opacity, black | {"extrasamples": ["unassalpha"]})),
        "floats.tif": tiff((grey / np.float32(255), black)),
    }


def _cmyk_without_adobes_marker(picture: Image.Image) -> bytes:
    data = saved(ImageChops.invert(picture.convert("CMYK")), "JPEG", quality=98)
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def refused(picture: Image.Image) -> dict[str, tuple[bytes, str]]:
    """Files that are not read, with the code that says why."""
    png = saved(picture, "PNG")
    dng = {"photometric": "rgb", "extratags": [(50706, "B", 4, (1, 4, 0, 0))]}
    return {
        "transparent.png": (saved(with_alpha(picture, 0), "PNG"), "nothing_visible"),
        "iphone.png": (with_chunk(png, b"CgBI", bytes(4), at=8), "unsupported_format"),
        "raw.tif": (tiff((np.asarray(picture)[::4, ::4], dng)), "unsupported_format"),
        "half.jpg": (saved(picture, "JPEG")[:-200], "truncated_image"),
    }


def hidden(picture: Image.Image, colour: str) -> bytes:
    """The picture on a transparent ground, under which a colour is hidden."""
    alpha = Image.new("L", picture.size, 0)
    alpha.paste(255, (60, 20, 260, 190))
    under = Image.composite(picture, Image.new("RGB", picture.size, colour), alpha)
    under.putalpha(alpha)
    return saved(under, "PNG")


def mean_difference(output: Image.Image, shown: Image.Image) -> float:
    """Levels by which the opaque pixels of a cut-out differ from what the photograph shows."""
    pixels = np.asarray(output.convert("RGBA")).astype(int)
    opaque = pixels[..., 3] == 255
    assert opaque.any()
    return float(np.abs(pixels[..., :3] - np.asarray(shown))[opaque].mean())


def saved(image: Image.Image, format_name: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def bmp_v4(image: Image.Image) -> bytes:
    """A BMP whose header states where alpha is, which Pillow reads but does not write."""
    pixels = image.convert("RGBA").transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    bit_fields, masks = 3, (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    header = struct.pack(
        "<IiiHHIIiiII4I", 108, *image.size, 1, 32, bit_fields, len(pixels), 2835, 2835, 0, 0, *masks
    )
    header += b"BGRs" + bytes(48)
    offset = 14 + len(header)
    return struct.pack("<2sIII", b"BM", offset + len(pixels), 0, offset) + header + pixels


def tiff(*pages: tuple[np.ndarray, dict], **file) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **file) as writer:
        for values, options in pages:
            writer.write(values, metadata=None, **options)
    return buffer.getvalue()


def with_chunk(png: bytes, name: bytes, content: bytes, at: int = 33) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    chunk = struct.pack(">I", len(content)) + name + content + checksum
    return png[:at] + chunk + png[at:]


def with_alpha(picture: Image.Image, alpha: int) -> Image.Image:
    copy = picture.convert("RGBA")
    copy.putalpha(alpha)
    return copy
