import io
import resource
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from support.images import (
    FORMATS,
    HEIGHT,
    LIMITS,
    LOSSY,
    WIDTH,
    assert_like,
    encoded,
    exif,
    picture,
    png,
    refusal,
)

from contract.errors import ErrorCode
from worker.imaging.decode import Limits, decode, displayed_size

# decoded


@pytest.mark.parametrize(
    ("format_name", "mode"),
    [(format_name, mode) for format_name in FORMATS for mode in ("RGB", "L", "1", "P")]
    + [(format_name, "CMYK") for format_name in ("JPEG", "TIFF")]
    + [("JPEG", "YCbCr"), ("TIFF", "YCbCr")],
)
def test_opaque_photographs_are_decoded_to_rgb(format_name: str, mode: str):
    tolerance, options = FORMATS[format_name]
    image = picture(mode)
    # a JPEG holds no bits or palettes, and its 8 x 8 blocks smear their edges
    written = (
        image.convert("RGB") if format_name in {"JPEG", "MPO", "WEBP"} and mode in "1P" else image
    )
    photograph = decode(encoded(written, format_name, **options), LIMITS)
    if mode in "1P":
        tolerance *= 5
    elif mode == "YCbCr":
        tolerance = LOSSY
    assert_like(photograph.rgb, image.convert("RGB"), tolerance)
    assert (photograph.alpha, photograph.icc_profile) == (None, None)
    assert photograph.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_tiff_is_decoded_in_its_usual_compressions(compression: str):
    photograph = decode(encoded(picture(), "TIFF", compression=compression), LIMITS)
    assert_like(photograph.rgb, picture(), LOSSY if compression == "jpeg" else 0)


@pytest.mark.parametrize(
    ("format_name", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("TIFF", "RGBA", {}),
        ("TIFF", "LA", {}),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}),
    ],
)
def test_the_sources_own_transparency_is_kept_apart(format_name: str, mode: str, options: dict):
    image = picture(mode)
    photograph = decode(encoded(image, format_name, **options), LIMITS)
    assert_like(photograph.rgb, image.convert("RGBA").convert("RGB"))
    assert photograph.alpha is not None
    assert_like(photograph.alpha, image.getchannel("A"))


@pytest.mark.parametrize("format_name", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_alpha(format_name: str):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    photograph = decode(encoded(image, format_name, transparency=1), LIMITS)
    assert photograph.rgb.getpixel((0, 0)) == (10, 20, 30)
    assert photograph.alpha is not None
    assert [photograph.alpha.getpixel((x, 0)) for x in (0, 1)] == [255, 0]


@pytest.mark.parametrize(
    ("format_name", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True}), ("AVIF", {})],
)
def test_an_entirely_transparent_photograph_is_refused(format_name: str, options: dict):
    image = picture("RGBA")
    image.putalpha(0)
    assert refusal(encoded(image, format_name, **options)) is ErrorCode.NOTHING_VISIBLE
    image.putpixel((3, 3), (1, 2, 3, 1))
    if format_name != "AVIF":
        assert decode(encoded(image, format_name, **options), LIMITS).alpha is not None


def test_a_gif_and_a_palette_that_are_entirely_transparent_are_refused():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    for format_name in ("GIF", "PNG"):
        data = encoded(image, format_name, transparency=1)
        assert refusal(data) is ErrorCode.NOTHING_VISIBLE


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "GIF"])
def test_an_alpha_that_is_opaque_everywhere_is_no_transparency(format_name: str):
    opaque = picture("P") if format_name == "GIF" else picture("RGB").convert("RGBA")
    options = {"transparency": 255} if format_name == "GIF" else {}
    assert decode(encoded(opaque, format_name, **options), LIMITS).alpha is None


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_the_smallest_photographs_are_decoded(size: tuple[int, int]):
    for format_name in FORMATS:
        assert decode(encoded(Image.new("RGB", size), format_name), LIMITS).size == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "MPO", "PNG", "WEBP", "TIFF", "deflated TIFF"])
def test_a_photograph_is_turned_as_exif_says(format_name: str, orientation: int):
    # an independent statement: where EXIF says the stored first row and column are displayed
    y, x = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    shown = np.asarray(picture())
    stored = shown if y in {"top", "bottom"} else shown.swapaxes(0, 1)
    stored = stored[::-1] if y in {"bottom", "right"} else stored
    stored = stored[:, ::-1] if x in {"bottom", "right"} else stored
    tolerance, options = FORMATS[format_name.removeprefix("deflated ")]
    if format_name == "deflated TIFF":  # libtiff reads these
        format_name, options = "TIFF", {"compression": "tiff_adobe_deflate"}
    image = Image.fromarray(np.ascontiguousarray(stored))
    data = encoded(image, format_name, exif=exif(orientation), **options)
    photograph = decode(data, LIMITS)
    assert displayed_size(data) == photograph.size
    assert_like(photograph.rgb, picture(), tolerance)
    with Image.open(io.BytesIO(data)) as reference:
        assert_like(photograph.rgb, ImageOps.exif_transpose(reference).convert("RGB"))


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "AVIF", "TIFF"])
def test_an_orientation_that_only_xmp_states_is_ignored(format_name: str):
    """As browsers do: programs that turn the pixels and drop EXIF often leave it."""
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    options = {"tiffinfo": {700: xmp}} if format_name == "TIFF" else {"xmp": xmp}
    data = encoded(picture(), format_name, **options)
    assert xmp in data
    assert decode(data, LIMITS).size == displayed_size(data) == (WIDTH, HEIGHT)


def test_alpha_is_turned_with_the_photograph():
    photograph = decode(encoded(picture("RGBA"), "PNG", exif=exif(6)), LIMITS)
    assert photograph.alpha is not None
    assert_like(photograph.alpha, picture("RGBA").getchannel("A").rotate(-90, expand=True))


@pytest.mark.parametrize(
    "broken", [b"Exif\0\0rubbish!", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
             b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0\0\0\0\0"],
    ids=["rubbish", "empty", "cut short", "orientation 99"],
)  # fmt: skip
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_is_ignored(format_name: str, broken: bytes):
    assert decode(encoded(picture(), format_name, exif=broken), LIMITS).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(format_name: str):
    tolerance, options = FORMATS[format_name]
    others = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    data = encoded(picture(), format_name, save_all=True, append_images=others, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    assert_like(decode(data, LIMITS).rgb, picture(), tolerance)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF"])
def test_the_resolution_is_kept(format_name: str):
    result = decode(encoded(picture(), format_name, dpi=(300, 150)), LIMITS)
    assert result.dots_per_metre == (11811, 5906)


def test_the_resolution_is_turned_with_the_photograph():
    result = decode(encoded(picture(), "JPEG", dpi=(300, 150), exif=exif(6)), LIMITS)
    assert result.dots_per_metre == (5906, 11811)


@pytest.mark.parametrize("dpi", [None, (0, 300), (300, 0)])
def test_a_missing_or_impossible_resolution_is_dropped(dpi: tuple[int, int] | None):
    options = {"dpi": dpi} if dpi else {}
    assert decode(encoded(picture(), "PNG", **options), LIMITS).dots_per_metre is None


# refused


def claiming(format_name: str, side: int) -> bytes:
    """A small file whose header claims side x side pixels."""
    data = bytearray(
        encoded(picture(), format_name, **({"lossless": True} if format_name == "WEBP" else {}))
    )
    match format_name:
        case "PNG":
            data[16:24] = struct.pack(">II", side, side)
            data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
        case "JPEG" | "MPO":
            at = data.index(b"\xff\xc0") + 5
            data[at : at + 4] = struct.pack(">HH", side, side)
        case "GIF":
            data[6:10] = struct.pack("<HH", side, side)
        case "BMP":
            data[18:26] = struct.pack("<ii", side, side)
        case "TIFF":
            at = struct.unpack_from("<I", data, 4)[0] + 2
            for entry in range(at, at + 12 * struct.unpack_from("<H", data, at - 2)[0], 12):
                if struct.unpack_from("<H", data, entry)[0] in {256, 257}:
                    struct.pack_into("<HII", data, entry + 2, 4, 1, side)
        case "WEBP":  # 14 bits each, so 16,383 is the maximum
            struct.pack_into("<I", data, 21, (side - 1) | (side - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_enormous_claim_is_refused_before_time_or_memory_is_spent(format_name: str):
    data = claiming(format_name, 16_383 if format_name == "WEBP" else 50_000)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert refusal(data) is ErrorCode.TOO_MANY_PIXELS
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_the_largest_claim_of_a_png_is_refused_from_its_header():
    assert refusal(claiming("PNG", 2**31 - 1)) is ErrorCode.TOO_MANY_PIXELS


def test_exif_behind_the_pixels_of_a_png_turns_it():
    data = encoded(picture(), "PNG", exif=exif(6))
    start = data.index(b"eXIf") - 4
    end = start + 12 + struct.unpack_from(">I", data, start)[0]
    behind = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    assert_like(decode(behind, LIMITS).rgb, decode(data, LIMITS).rgb)
    assert decode(behind, LIMITS).size == (HEIGHT, WIDTH)


def test_the_pixel_limit_is_exact():
    data = encoded(picture(), "PNG")
    assert decode(data, Limits(pixels=WIDTH * HEIGHT)).size == (WIDTH, HEIGHT)
    assert refusal(data, Limits(pixels=WIDTH * HEIGHT - 1)) is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("size", [(65_536, 1), (1, 65_536)])
def test_a_side_has_a_limit_too(size: tuple[int, int]):
    assert refusal(encoded(Image.new("1", size), "PNG")) is ErrorCode.TOO_MANY_PIXELS
    fits = (min(size[0], 65_535), min(size[1], 65_535))
    assert decode(encoded(Image.new("1", fits), "PNG"), LIMITS).size == fits


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 50_000_000))],
        [(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"a" * 50_000_000))],
        [(b"iCCP", b"k\0\0" + zlib.compress(b"a" * 50_000_000))],
        [(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 1_000_000))] * 80,
    ],
    ids=["text", "international text", "profile", "many texts"],
)
def test_a_chunk_that_unpacks_to_a_bomb_is_not_unpacked(chunks: list[tuple[bytes, bytes]]):
    data = png(8, 2, b"abcdef", *chunks)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(data, LIMITS).rgb.tobytes() == b"abcdef"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.slow
def test_pixel_data_beyond_the_claimed_size_is_never_unpacked():
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(200)) + packer.flush()
    data = png(8, 2, b"", (b"IDAT", packed))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(data, LIMITS).size == (2, 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_an_image_without_pixels_is_refused():
    assert refusal(png(8, 2, b"", width=0)) is ErrorCode.CORRUPT_IMAGE
