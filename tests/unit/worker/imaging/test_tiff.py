"""TIFFs of every layout, written by tifffile: read right or refused by name, never wrong."""

import io
import struct
from itertools import product

import numpy as np
import pytest
import tifffile
from support.images import LIMITS, picture, refusal

from contract.errors import CutoutError, ErrorCode, PermanentError
from worker.imaging.decode import Photograph, decode, displayed_size
from worker.imaging.icc import DISPLAY_P3, SRGB_CURVE, rgb_profile

DEPTHS = {"uint8": (np.uint8, 1), "uint16": (np.uint16, 257), "float32": (np.float32, 1 / 255)}
"""dtype, and the factor from 0..255"""
COMPRESSIONS = ["none", "lzw", "deflate", "packbits", "zstd", "lzma"]
ALPHA = np.asarray(picture("RGBA"))[..., 3]
RGB = np.asarray(picture())
GREY = np.asarray(picture("L"))
CMYK = np.asarray(picture("CMYK"))


def samples(photometric: str, extra: str) -> np.ndarray:
    """uint8 [height, width, samples], as the tags specify them."""
    colours = {
        "minisblack": GREY[..., np.newaxis], "miniswhite": 255 - GREY[..., np.newaxis],
        "rgb": RGB, "separated": CMYK,
    }[photometric]  # fmt: skip
    if extra == "assocalpha":
        colours = np.rint(colours * (ALPHA[..., np.newaxis] / 255)).astype(np.uint8)
    return np.dstack([colours, ALPHA]) if extra else colours


def written(values: np.ndarray, depth: str, **options) -> bytes:
    dtype, factor = DEPTHS[depth]
    buffer = io.BytesIO()
    if values.shape[-1] == 1:
        values = values[..., 0]
    scaled = values * factor if dtype is np.float32 else values.astype(dtype) * dtype(factor)
    if options.get("planarconfig") == "separate" and scaled.ndim == 3:
        scaled = np.moveaxis(scaled, -1, 0)
    else:
        options.pop("planarconfig", None)
    options.setdefault("metadata", None)
    if options.get("compression") == "none":
        options.pop("compression")
    tifffile.imwrite(buffer, scaled.astype(dtype), **options)
    return buffer.getvalue()


def assert_right(photograph: Photograph, photometric: str, extra: str, tolerance: int = 1) -> None:
    expected = {"rgb": RGB, "separated": np.asarray(picture("CMYK").convert("RGB"))}.get(
        photometric, np.dstack([GREY] * 3)
    )
    difference = np.abs(np.asarray(photograph.rgb).astype(int) - expected)
    opaque = ALPHA > 30 if extra == "assocalpha" else np.ones_like(ALPHA, bool)
    assert difference[opaque].max() <= (5 if extra == "assocalpha" else tolerance)
    if extra in {"", "unspecified"}:
        assert photograph.alpha is None
    else:
        assert np.abs(np.asarray(photograph.alpha).astype(int) - ALPHA).max() <= 1


LAYOUTS = list(
    product(
        ["minisblack", "miniswhite", "rgb", "separated"],
        ["", "unassalpha", "assocalpha", "unspecified"],
        DEPTHS,
        ["contig", "separate"],
    )
)
REFUSED = {("separated", extra, "float32") for extra in ("", "unassalpha", "unspecified")} | {
    # what is premultiplied, ink or light, is not specified
    (photometric, "assocalpha", depth)
    for photometric, depth in product(["separated", "miniswhite"], DEPTHS)
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("photometric", "extra", "depth", "planes"), LAYOUTS, ids=lambda value: value or "no extra"
)
def test_every_layout_is_read_right_or_refused(photometric, extra, depth, planes):
    values = samples(photometric, extra)
    options: dict = {"photometric": photometric, "planarconfig": planes}
    if extra:
        options["extrasamples"] = [extra]
    for compression, order, tiled in product(COMPRESSIONS, "<>", (False, True)):
        if tiled:
            options["tile"] = (16, 16)
        else:
            options.pop("tile", None)
            options["rowsperstrip"] = 10
        data = written(values, depth, byteorder=order, compression=compression, **options)
        if (photometric, extra, depth) in REFUSED:
            assert refusal(data) is ErrorCode.UNSUPPORTED_FORMAT
        else:
            assert_right(decode(data, LIMITS), photometric, extra)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("order", "<>")
def test_bigtiff_is_read_in_both_byte_orders(order: str, depth: str):
    data = written(RGB, depth, byteorder=order, bigtiff=True, photometric="rgb")
    assert_right(decode(data, LIMITS), "rgb", "")
    assert displayed_size(data) == picture().size


@pytest.mark.parametrize("depth", ["uint16", "float32"])
@pytest.mark.parametrize("order", "<>")
def test_a_predictor_is_undone(order: str, depth: str):
    data = written(
        samples("rgb", "unassalpha"), depth, byteorder=order, photometric="rgb", predictor=True,
        extrasamples=["unassalpha"], compression="deflate",
    )  # fmt: skip
    assert_right(decode(data, LIMITS), "rgb", "unassalpha")


@pytest.mark.parametrize("compression", ["webp", "lerc"])
def test_webp_and_lerc_are_read(compression: str):
    data = written(RGB, "uint8", photometric="rgb", compression=compression)
    assert_right(decode(data, LIMITS), "rgb", "", 20 if compression == "webp" else 0)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_packed_grey_is_read(bits: int, photometric: str):
    """The bits of each row are one big-endian number, padded to a byte (TIFF 6.0, section 3)."""
    values = samples(photometric, "")[..., 0].astype(np.uint32)
    values = (values << (bits - 8)) | (values >> (16 - bits))
    one = values[..., np.newaxis] >> np.arange(bits - 1, -1, -1) & 1
    packed = np.packbits(one.reshape(len(values), -1).astype(np.uint8), axis=-1).tobytes()
    height, width = values.shape
    code = int(photometric == "minisblack")
    data = tiff(
        packed, (256, 3, width), (257, 3, height), (258, 3, bits), (262, 3, code), (277, 3, 1)
    )
    assert_right(decode(data, LIMITS), photometric, "")


def tiff(pixels: bytes, *tags: tuple[int, int, int]) -> bytes:
    """A little-endian TIFF of one strip: tag, type (3: 16 bits) and value."""
    offset = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = sorted([*tags, (273, 4, offset), (279, 4, len(pixels))])
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4) + pixels


def tags(**values: int) -> list[tuple[int, int, int]]:
    numbers = {"bits": 258, "photometric": 262, "samples": 277, "format": 339, "ink": 332,
               "subsampling": 530, "compression": 259, "depth": 32997}  # fmt: skip
    return [(256, 3, 2), (257, 3, 1), *((numbers[name], 3, v) for name, v in values.items())]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"bits": 8, "photometric": 32844, "samples": 1}, "LogL"),
        ({"bits": 8, "photometric": 9, "samples": 3}, "ICCLab"),
        ({"bits": 16, "photometric": 8, "samples": 3}, "CIELab in 3 samples of 16, 16, 16 bits"),
        ({"bits": 8, "photometric": 5, "samples": 4, "ink": 2}, "CMYK"),
        ({"bits": 8, "photometric": 6, "samples": 3}, "YCbCr"),
        ({"bits": 16, "photometric": 3, "samples": 1}, "palette in 1 samples of 16 bits"),
        ({"bits": 8, "photometric": 1, "samples": 1, "format": 2}, "8 signed bits"),
        ({"bits": 8, "photometric": 2, "samples": 3, "compression": 34712}, "JPEG 2000"),
        ({"bits": 8, "photometric": 2, "samples": 3, "compression": 12345}, "compression 12345"),
        ({"bits": 8, "samples": 1}, "-1 in 1 samples"),
        ({"bits": 16, "photometric": 0, "samples": 1, "depth": 2}, "WhiteIsZero"),
    ],
)
def test_other_layouts_are_refused_by_name(values: dict, named: str):
    with pytest.raises(PermanentError, match="TIFF of this kind") as caught:
        decode(tiff(bytes(64), *tags(**values)), LIMITS)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
    assert named in caught.value.message


def test_floats_of_an_unknown_range_are_refused():
    data = written(RGB * np.float32(255), "float32", photometric="rgb")
    assert refusal(data) is ErrorCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", ["uint8", "uint16"])
@pytest.mark.parametrize("photometric", ["rgb", "separated"])
def test_both_readers_turn_a_page(orientation: int, depth: str, photometric: str):
    y, x = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    stored = samples(photometric, "unassalpha")
    stored = stored if y in {"top", "bottom"} else stored.swapaxes(0, 1)
    stored = stored[::-1] if y in {"bottom", "right"} else stored
    stored = stored[:, ::-1] if x in {"bottom", "right"} else stored
    data = written(
        np.ascontiguousarray(stored), depth, photometric=photometric, planarconfig="separate",
        extrasamples=["unassalpha"], extratags=[(274, "H", 1, orientation)],
        resolution=(300, 150), resolutionunit="INCH",
    )  # fmt: skip
    photograph = decode(data, LIMITS)
    assert_right(photograph, photometric, "unassalpha")
    assert displayed_size(data) == photograph.size
    swapped = orientation >= 5
    assert photograph.dots_per_metre == ((5906, 11811) if swapped else (11811, 5906))


# pages


def pages(*contents: tuple[np.ndarray, dict]) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for values, options in contents:
            writer.write(values, photometric="rgb", metadata=None, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_thumbnail_on_the_first_page_is_passed_over(dtype):
    full = (RGB / 255).astype(dtype) if dtype is np.float32 else RGB
    data = pages((RGB[::4, ::4], {"subfiletype": 1}), (full, {}), (RGB[::2, ::2], {}))
    assert_right(decode(data, LIMITS), "rgb", "")
    assert displayed_size(data) == picture().size


def test_a_thumbnails_profile_and_resolution_are_not_those_of_the_photograph():
    rgb = np.asarray(picture())
    wide = {"iccprofile": rgb_profile(DISPLAY_P3, SRGB_CURVE), "resolution": (72, 72)}
    data = pages((rgb[::4, ::4], {"subfiletype": 1} | wide), (rgb, {}))
    photograph = decode(data, LIMITS)
    assert photograph.rgb.tobytes() == rgb.tobytes()
    assert photograph.dots_per_metre is None


def test_a_lone_page_is_the_photograph_whatever_it_says():
    assert_right(decode(pages((RGB, {"subfiletype": 1})), LIMITS), "rgb", "")


def test_an_image_below_a_thumbnail_is_refused():
    data = pages((RGB[::4, ::4], {"subfiletype": 1, "subifds": 1}), (RGB, {}))
    assert refusal(data) is ErrorCode.UNSUPPORTED_FORMAT


RAW = [
    (pages((RGB[::4, ::4], {"extratags": [(50706, "B", 4, (1, 4, 0, 0))]})), "DNG"),
    (b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + tiff(bytes(6), *tags(bits=8, photometric=2))[8:], "CR2"),
]


def test_a_raw_file_is_refused_by_name():
    below = tiff(bytes(64), *tags(bits=14, photometric=32803, samples=1, compression=34713))
    for data, name in [*RAW, (below, "raw")]:
        with pytest.raises(CutoutError, match=name) as caught:
            decode(data, LIMITS)
        assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


# hostile


def test_a_loop_of_pages_ends():
    data = bytearray(pages((RGB, {"subfiletype": 1}), (RGB, {"subfiletype": 1})))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first, second = (page.offset for page in file.pages)
    entries = struct.unpack_from("<H", data, second)[0]
    struct.pack_into("<I", data, second + 2 + 12 * entries, first)
    assert_right(decode(bytes(data), LIMITS), "rgb", "")


def test_endless_directories_are_not_followed():
    """Each states as many entries and offsets as it can: following all would take hours."""
    pages = b"".join(
        struct.pack("<H", 65_535) + struct.pack("<HHII", 330, 4, 32, 8) * 40 for _ in range(200)
    )
    for header in (b"II*\0\x08\0\0\0", b"II+\0\x08\0\0\0\x10" + bytes(7) + b"\xff" * 8):
        assert refusal(header + pages) in {ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE}


@pytest.mark.parametrize("compression", ["none", "deflate", "webp", "lerc"])
def test_samples_beyond_the_end_are_truncated(compression: str):
    depth = "uint16" if compression in {"none", "deflate"} else "uint8"
    data = bytearray(
        written(samples("rgb", ""), depth, photometric="rgb", planarconfig="separate",
                compression=compression)
        if depth == "uint16" else
        written(RGB, depth, photometric="rgb", compression=compression)
    )  # fmt: skip
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        counts = file.pages[0].tags[279]
        at = counts.valueoffset
        kind = "<I" if counts.dtype == 4 else "<H"
        width = struct.calcsize(kind)
        last = at + width * (counts.count - 1)
    struct.pack_into(kind, data, last, min(0xFFFF, len(data)) if width == 2 else 2**31 - 1)
    assert refusal(bytes(data)) in {ErrorCode.TRUNCATED_IMAGE, ErrorCode.CORRUPT_IMAGE}


@pytest.mark.slow
def test_a_strip_that_unpacks_to_more_than_its_size_is_cut():
    import resource

    huge = np.zeros((9000, 9000, 3), np.uint8)
    for compression in ("webp", "lerc"):
        data = bytearray(written(huge, "uint8", photometric="rgb", compression=compression,
                                 rowsperstrip=9000))  # fmt: skip
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            for tag in (256, 257, 278):
                entry = file.pages[0].tags[tag]
                struct.pack_into("<H" if entry.dtype == 3 else "<I", data, entry.valueoffset, 9)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert refusal(bytes(data)) is ErrorCode.CORRUPT_IMAGE
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
