import io
import resource
import signal
import struct
import time
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from contract.errors import CutoutError, ErrorCode, PermanentError
from worker.imaging.decode import SIGNATURES, Limits, Photograph, decode

LIMITS = Limits()
WIDTH, HEIGHT = 48, 32


def picture(mode: str = "RGB") -> Image.Image:
    """Smooth, so that lossy formats keep it, and unlike any of its turns or mirror images."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    image = Image.fromarray(np.stack([x * 5, y * 7, 40 + x + 3 * y], -1).astype(np.uint8))
    if mode in {"LA", "RGBA"}:
        image = image.convert(mode)
        image.putalpha(Image.fromarray((x * 5 + 10).astype(np.uint8)))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(depth: int, colour: int, row: bytes, *chunks: tuple[bytes, bytes], width: int = 2) -> bytes:
    """A PNG of one row, byte by byte: Pillow writes neither 16-bit colour nor hostile chunks."""
    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def assert_like(found: Image.Image, wanted: Image.Image, tolerance: float = 0) -> None:
    assert (found.mode, found.size) == (wanted.mode, wanted.size)
    difference = np.abs(np.asarray(found, float) - np.asarray(wanted, float))
    assert difference.mean() <= tolerance / 2
    assert difference.max() <= tolerance * 6


def refusal(data: bytes, limits: Limits = LIMITS) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        decode(data, limits)
    return caught.value.code


# what is decoded

LOSSY = 8
FORMATS = {
    "JPEG": (LOSSY, {"quality": 95}),
    "MPO": (LOSSY, {"quality": 95}),
    "PNG": (0, {}),
    "WEBP": (LOSSY, {"quality": 95}),
    "TIFF": (0, {}),
    "BMP": (0, {}),
    "GIF": (LOSSY, {}),
}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in FORMATS for mode in ("RGB", "L", "1", "P")]
    + [(kind, "CMYK") for kind in ("JPEG", "TIFF")]
    + [("JPEG", "YCbCr"), ("TIFF", "YCbCr")],
)
def test_opaque_photographs_are_decoded_to_rgb(kind: str, mode: str):
    tolerance, options = FORMATS[kind]
    image = picture(mode)
    # a JPEG holds no bits or palettes, and its 8 x 8 blocks smear their edges
    written = image.convert("RGB") if kind in {"JPEG", "MPO", "WEBP"} and mode in "1P" else image
    photograph = decode(encoded(written, kind, **options), LIMITS)
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
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {}),
        ("PNG", "LA", {}),
        ("TIFF", "RGBA", {}),
        ("TIFF", "LA", {}),
        ("WEBP", "RGBA", {"lossless": True, "exact": True}),
    ],
)
def test_the_sources_own_transparency_is_kept_apart(kind: str, mode: str, options: dict):
    image = picture(mode)
    photograph = decode(encoded(image, kind, **options), LIMITS)
    assert_like(photograph.rgb, image.convert("RGBA").convert("RGB"))
    assert photograph.alpha is not None
    assert_like(photograph.alpha, image.getchannel("A"))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_alpha(kind: str):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    photograph = decode(encoded(image, kind, transparency=1), LIMITS)
    assert photograph.rgb.getpixel((0, 0)) == (10, 20, 30)
    assert photograph.alpha is not None
    assert [photograph.alpha.getpixel((x, 0)) for x in (0, 1)] == [255, 0]


@pytest.mark.parametrize(
    ("data", "rgb", "alpha"),
    [
        (png(16, 0, struct.pack(">2H", 65535, 256)), [255, 1], None),
        (png(16, 2, struct.pack(">6H", 65535, 0x8000, 256, 0, 99, 0xFF00)),
         [(255, 128, 1), (0, 0, 255)], None),
        (png(16, 4, struct.pack(">4H", 65535, 0x8000, 256, 65535)), [255, 1], [128, 255]),
        (png(16, 6, struct.pack(">8H", 65535, 0x8000, 256, 0x8000, 0, 0, 0xFF00, 65535)),
         [(255, 128, 1), (0, 0, 255)], [128, 255]),
        (png(16, 0, struct.pack(">2H", 65535, 256), (b"tRNS", b"\1\0")), [255, 1], [255, 0]),
        (png(8, 0, b"\xff\x10", (b"tRNS", b"\0\x10")), [255, 16], [255, 0]),
        (png(8, 2, b"\xff\x10\x20\1\2\3", (b"tRNS", b"\0\1\0\2\0\3")),
         [(255, 16, 32), (1, 2, 3)], [255, 0]),
        (png(1, 0, b"\x80", (b"tRNS", b"\0\0")), [255, 0], [255, 0]),
        (png(8, 3, b"\0\1", (b"PLTE", b"\1\2\3\4\5\6"), (b"tRNS", b"\x80")),
         [(1, 2, 3), (4, 5, 6)], [128, 255]),
    ],
    ids=["grey16", "rgb16", "la16", "rgba16", "grey16 key", "grey8 key", "rgb8 key", "1 key", "P"],
)  # fmt: skip
def test_a_png_of_any_depth_keeps_its_colours_and_transparency(data: bytes, rgb: list, alpha):
    photograph = decode(data, LIMITS)
    wanted = [(v, v, v) if isinstance(v, int) else v for v in rgb]
    assert [photograph.rgb.getpixel((x, 0)) for x in (0, 1)] == wanted
    found = photograph.alpha and [photograph.alpha.getpixel((x, 0)) for x in (0, 1)]
    assert found == alpha


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        (np.array([[0, 256, 0xFFFF]], np.uint16), [0, 1, 255]),
        (np.array([[-5, 0, 5]], np.int32), [0, 127, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 127, 255]),
        (np.array([[-3e38, 0, 3e38]], np.float32), [0, 127, 255]),
        (np.array([[7, 7, 7]], np.float32), [0, 0, 0]),
        (np.array([[np.nan, 1, 2]], np.float32), [0, 0, 255]),
        (np.array([[-np.inf, 1, np.inf]], np.float32), [0, 0, 0]),
        (np.array([[0, np.inf, 1]], np.float32), [0, 255, 255]),
        (np.array([[np.nan] * 3], np.float32), [0, 0, 0]),
    ],
    ids=["I;16", "I", "F", "huge", "constant", "nan", "only inf", "inf", "only nan"],
)
def test_deep_grey_tiffs_are_brought_to_eight_bits(samples: np.ndarray, wanted: list[int]):
    photograph = decode(encoded(Image.fromarray(samples), "TIFF"), LIMITS)
    assert np.asarray(photograph.rgb)[0].tolist() == [[v, v, v] for v in wanted]


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)])
def test_the_smallest_photographs_are_decoded(size: tuple[int, int]):
    for kind in FORMATS:
        assert decode(encoded(Image.new("RGB", size), kind), LIMITS).size == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "TIFF"])
def test_a_photograph_is_turned_as_exif_says(kind: str, orientation: int):
    # an independent statement: where EXIF says the stored first row and column are displayed
    y, x = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    shown = np.asarray(picture())
    stored = shown if y in {"top", "bottom"} else shown.swapaxes(0, 1)
    stored = stored[::-1] if y in {"bottom", "right"} else stored
    stored = stored[:, ::-1] if x in {"bottom", "right"} else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    tolerance, options = FORMATS[kind]
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    photograph = decode(data, LIMITS)
    assert_like(photograph.rgb, picture(), tolerance)
    with Image.open(io.BytesIO(data)) as reference:
        assert_like(photograph.rgb, ImageOps.exif_transpose(reference).convert("RGB"))


def test_alpha_is_turned_with_the_photograph():
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = decode(encoded(picture("RGBA"), "PNG", exif=exif), LIMITS)
    assert photograph.alpha is not None
    assert_like(photograph.alpha, picture("RGBA").getchannel("A").rotate(-90, expand=True))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0rubbish!", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
             b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0\0\0\0\0"],
    ids=["rubbish", "empty", "cut short", "orientation 99"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_does_not_cost_a_sound_photograph(kind: str, exif: bytes):
    assert decode(encoded(picture(), kind, exif=exif), LIMITS).size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken(kind: str):
    tolerance, options = FORMATS[kind]
    others = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    data = encoded(picture(), kind, save_all=True, append_images=others, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    assert_like(decode(data, LIMITS).rgb, picture(), tolerance)


# colour profiles

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


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


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "I;16"])
def test_a_profile_is_kept_where_it_speaks_of_rgb_and_dropped_where_of_grey(mode: str):
    image = Image.new("I;16", (4, 4)) if mode == "I;16" else picture(mode)
    for space, kept in [(b"RGB ", True), (b"GRAY", False)]:
        given_profile = profile(space)
        found = decode(encoded(image, "PNG", icc_profile=given_profile), LIMITS).icc_profile
        assert found == (given_profile if kept else None)


@pytest.mark.parametrize("broken", [b"rubbish" * 30, SRGB[:30], SRGB[:16] + b"RGB "])
def test_a_broken_profile_is_dropped(broken: bytes):
    photograph = decode(encoded(picture(), "PNG", icc_profile=broken), LIMITS)
    assert_like(photograph.rgb, picture())
    assert photograph.icc_profile is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_resolution_is_kept(kind: str):
    found = decode(encoded(picture(), kind, dpi=(300, 150)), LIMITS)
    assert found.dots_per_metre == (11811, 5906)


def test_the_resolution_is_turned_with_the_photograph():
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(encoded(picture(), "JPEG", dpi=(300, 150), exif=exif), LIMITS)
    assert found.dots_per_metre == (5906, 11811)


@pytest.mark.parametrize("dpi", [None, (0, 300), (300, 0)])
def test_no_resolution_or_nonsense_says_nothing(dpi: tuple[int, int] | None):
    options = {"dpi": dpi} if dpi else {}
    assert decode(encoded(picture(), "PNG", **options), LIMITS).dots_per_metre is None


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_by_its_profile(kind: str):
    data = encoded(picture("CMYK"), kind, icc_profile=cmyk_profile())
    photograph = decode(data, LIMITS)
    assert photograph.icc_profile is None
    pixels = np.asarray(photograph.rgb).reshape(-1, 3)
    assert (pixels == pixels[0]).all()  # without the profile it would be the picture
    # Lab 80, -10, -30 by the textbook; the rendering intent moves it a little
    assert pixels[0].tolist() == pytest.approx([148, 205, 254], abs=30)


@pytest.mark.parametrize("wrong", [SRGB, b"rubbish" * 30, cmyk_profile()[:140]])
def test_cmyk_with_a_profile_of_no_use_is_converted_without(wrong: bytes):
    photograph = decode(encoded(picture("CMYK"), "TIFF", icc_profile=wrong), LIMITS)
    assert_like(photograph.rgb, picture("CMYK").convert("RGB"))
    assert photograph.icc_profile is None


# what is refused


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.EMPTY_FILE),
        (b"hello", ErrorCode.NOT_AN_IMAGE),
        (b"\0" * 1000, ErrorCode.NOT_AN_IMAGE),
        (b"<!DOCTYPE html><html><img src='a.jpg'>", ErrorCode.NOT_AN_IMAGE),
        (b"RIFF\x10\0\0\0WAVEfmt ", ErrorCode.NOT_AN_IMAGE),
        (b"%PDF-1.7\n", ErrorCode.UNSUPPORTED_FORMAT),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ErrorCode.UNSUPPORTED_FORMAT),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by --><svg/>",
            ErrorCode.UNSUPPORTED_FORMAT,
        ),
        (b"<?xml version='1.0'?><catalogue/>", ErrorCode.NOT_AN_IMAGE),
        (b"8BPS\0\1", ErrorCode.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x0cjP  \r\n\x87\n", ErrorCode.UNSUPPORTED_FORMAT),
        (encoded(picture(), "JPEG2000"), ErrorCode.UNSUPPORTED_FORMAT),
        (encoded(picture(), "AVIF"), ErrorCode.UNSUPPORTED_FORMAT),
        (encoded(picture(), "ICO"), ErrorCode.UNSUPPORTED_FORMAT),
        *(
            (b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0", ErrorCode.UNSUPPORTED_FORMAT)
            for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
        ),
        (encoded(picture(), "TGA"), ErrorCode.NOT_AN_IMAGE),
        (encoded(picture(), "PPM"), ErrorCode.NOT_AN_IMAGE),
    ],
    ids=lambda value: value if isinstance(value, str) else ascii(value[:24])[2:-1],
)
def test_what_is_no_photograph_is_refused_by_its_signature(data: bytes, code: ErrorCode):
    assert refusal(data) is code


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.75, 0.95])
def test_a_file_cut_short_is_truncated(kind: str, share: float):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert refusal(data[: int(len(data) * share)]) is ErrorCode.TRUNCATED_IMAGE


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_at_any_byte_of_its_header_is_refused(kind: str):
    data = encoded(picture(), kind)
    wanted = {ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE}
    for length in range(1, 60):
        code = refusal(data[:length])
        assert code in wanted or (length < 12 and code is ErrorCode.NOT_AN_IMAGE)


def test_a_compressed_tiff_whose_directory_is_cut_off_is_truncated():
    data = encoded(picture(), "TIFF", compression="tiff_lzw")  # libtiff writes it at the end
    assert refusal(data[: len(data) // 2]) is ErrorCode.TRUNCATED_IMAGE


def claiming(kind: str, side: int) -> bytes:
    """A small file whose header claims side x side pixels."""
    data = bytearray(encoded(picture(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    match kind:
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
        case "WEBP":  # 14 bits each, so 16,383 is its most
            struct.pack_into("<I", data, 21, (side - 1) | (side - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_enormous_claim_is_refused_before_time_or_memory_is_spent(kind: str):
    data = claiming(kind, 16_383 if kind == "WEBP" else 50_000)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert refusal(data) is ErrorCode.TOO_MANY_PIXELS
    assert time.monotonic() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_the_pixel_limit_is_exact():
    data = encoded(picture(), "PNG")
    assert decode(data, Limits(pixels=WIDTH * HEIGHT)).size == (WIDTH, HEIGHT)
    assert refusal(data, Limits(pixels=WIDTH * HEIGHT - 1)) is ErrorCode.TOO_MANY_PIXELS


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
def test_a_chunk_that_unpacks_to_a_bomb_is_refused(chunks: list[tuple[bytes, bytes]]):
    assert refusal(png(8, 2, b"abcdef", *chunks)) is ErrorCode.CORRUPT_IMAGE


def test_pixel_data_beyond_the_claimed_size_is_never_unpacked():
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(200)) + packer.flush()
    data = png(8, 2, b"", (b"IDAT", packed))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode(data, LIMITS).size == (2, 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_an_image_without_pixels_is_refused():
    assert refusal(png(8, 2, b"", width=0)) is ErrorCode.CORRUPT_IMAGE


@cache
def specimens() -> list[bytes]:
    small = picture().resize((12, 9))
    return [
        *(encoded(small, kind) for kind in FORMATS),
        *(
            encoded(small, "TIFF", compression=c)
            for c in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")
        ),
        encoded(small.convert("1"), "TIFF", compression="group4"),
        encoded(small, "WEBP", lossless=True),
        encoded(small, "PNG", save_all=True, append_images=[small.rotate(180)], icc_profile=SRGB),
        encoded(picture("CMYK"), "JPEG", icc_profile=cmyk_profile(), progressive=True),
    ]


def _damages() -> Iterator[bytes]:
    """Thousands of broken files, the same ones every time: bytes flipped, cut out, doubled."""
    rng = np.random.default_rng(2026)
    for specimen in specimens():
        for number in range(200):
            data = bytearray(specimen)
            # headers and directories are where decoders are led astray
            reach = len(data) if number % 2 else min(len(data), 200)
            for at in rng.integers(2, reach, rng.integers(1, 8)):
                data[at] = rng.integers(256)
            if number % 5 == 0:
                at, length = int(rng.integers(2, len(data))), int(rng.integers(1, 40))
                data[at : at + length] = data[at : at + length] * int(rng.integers(0, 3))
            yield bytes(data)


def assert_judged(data: bytes) -> ErrorCode | None:
    """Decode to a sound photograph or a code; nothing else may leave `decode`."""
    try:
        photograph = decode(data, Limits(pixels=1_000_000))
    except CutoutError as error:
        return error.code
    except MemoryError:
        return None
    assert isinstance(photograph, Photograph)
    width, height = photograph.size
    assert 0 < width * height <= 1_000_000
    assert photograph.rgb.mode == "RGB"
    assert photograph.alpha is None or photograph.alpha.size == photograph.size
    return None


def test_only_codes_leave_damaged_files():
    codes = [assert_judged(data) for data in _damages()]
    assert {None, ErrorCode.CORRUPT_IMAGE, ErrorCode.TRUNCATED_IMAGE} <= {*codes}


@settings(max_examples=300, deadline=None)
@example(start=b"BM", rest=b"W drives a car, says the text")
@given(
    start=st.sampled_from(
        [
            *(signature for signature, _ in SIGNATURES),
            b"RIFF\x20\0\0\0WEBP",
            b"RIFF\x20\0\0\0WEBPVP8X",
            b"",
        ]
    ),
    rest=st.binary(max_size=200),
)
def test_only_codes_leave_invented_files(start: bytes, rest: bytes):
    assert_judged(start + rest)


class _TimeLimitError(Exception):
    """As Celery raises it: out of a signal handler, in the middle of whatever is running."""


def test_a_time_limit_is_not_mistaken_for_a_corrupt_image():
    data = encoded(Image.effect_noise((2000, 2000), 90), "PNG", compress_level=1)

    def ring(*_) -> None:
        raise _TimeLimitError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        with pytest.raises(_TimeLimitError):
            decode(data, LIMITS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
