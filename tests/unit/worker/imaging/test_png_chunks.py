"""Faults beside the pixels of a PNG, through `decode`."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.images import LIMITS, SRGB, assert_like, encoded, exif, picture, png, refusal

from contract.errors import ErrorCode, PermanentError
from worker.imaging.decode import decode, displayed_size
from worker.imaging.icc import DISPLAY_P3, SRGB_CURVE, rgb_profile
from worker.imaging.png_chunks import take_apart

PROFILE = rgb_profile(DISPLAY_P3, SRGB_CURVE)
HEADER_END = 33


def chunk(name: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def with_chunks(*chunks: bytes, mode: str = "RGB", **options) -> bytes:
    data = encoded(picture(mode), "PNG", **options)
    return data[:HEADER_END] + b"".join(chunks) + data[HEADER_END:]


def icc(profile: bytes) -> bytes:
    return b"profile\0\0" + zlib.compress(profile)


NOISE = np.random.default_rng(1).bytes(1_500_000)


@pytest.mark.parametrize(
    "beside",
    [
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(NOISE)),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(NOISE)),
        chunk(b"tEXt", b"Comment\0hello", checksum=1),
        chunk(b"iCCP", icc(PROFILE), checksum=1),
        chunk(b"iCCP", b"no end of the name"),
        chunk(b"iCCP", b"name\0\0rubbish"),
        chunk(b"iCCP", icc(PROFILE)[:60]),
        chunk(b"sRGB", b""),
        chunk(b"gAMA", b""),
        chunk(b"gAMA", struct.pack(">I", 100_000), checksum=1),
        chunk(b"cHRM", bytes(3)),
        chunk(b"cICP", b""),
        chunk(b"pHYs", b"\1"),
        chunk(b"pHYs", bytes(9), checksum=1),
        chunk(b"eXIf", b""),
        chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0", checksum=1),
        chunk(b"acTL", b""),
        chunk(b"tIME", b"\1"),
        chunk(b"sBIT", b""),
        chunk(b"bKGD", b""),
        chunk(b"hIST", b"\1"),
        chunk(b"abCd", b"", checksum=1),
    ],
    ids=lambda value: ascii(value[4:24]),
)
def test_a_fault_beside_the_pixels_costs_nothing(beside: bytes):
    assert_like(decode(with_chunks(beside), LIMITS).rgb, picture())


def with_tag(profile: bytes, content: bytes) -> bytes:
    """The profile with one more tag, as those of printers have tables of a megabyte."""
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = bytearray(profile[132 : 132 + 12 * count])
    for at in range(4, len(entries), 12):
        (offset,) = struct.unpack_from(">I", entries, at)
        struct.pack_into(">I", entries, at, offset + 12)
    entries += b"meta" + struct.pack(">II", len(profile) + 12, len(content))
    larger = profile[:128] + struct.pack(">I", count + 1) + entries
    return stating_its_size(larger + profile[132 + 12 * count :] + content)


def stating_its_size(profile: bytes) -> bytes:
    return struct.pack(">I", len(profile)) + profile[4:]


def test_a_large_profile_is_applied():
    large = with_tag(PROFILE, bytes(1_500_000))
    small, same = (
        decode(with_chunks(chunk(b"iCCP", icc(profile))), LIMITS).rgb
        for profile in (PROFILE, large)
    )
    assert_like(same, small)
    assert small.tobytes() != picture().tobytes()


@pytest.mark.parametrize("keep", [False, True])
def test_a_profile_that_is_mostly_padding_is_ignored(keep: bool):
    padded = stating_its_size(PROFILE + bytes(1_300_000))
    data = with_chunks(chunk(b"iCCP", icc(padded)))
    photograph = decode(data, LIMITS, keep_profile=keep)
    assert_like(photograph.rgb, picture())
    assert photograph.icc_profile is None


def test_what_a_decoder_needs_is_kept():
    data = encoded(
        picture(), "PNG", icc_profile=SRGB, dpi=(300, 150), exif=exif(6), compress_level=0
    )
    photograph = decode(data + b"junk after the end", LIMITS)
    assert photograph.size == (32, 48) == displayed_size(data)
    assert photograph.dots_per_metre == (5906, 11811)
    parts = take_apart(data)
    assert parts.icc_profile == SRGB
    assert b"iCCP" not in parts.data


def test_a_file_without_surplus_is_not_copied():
    data = encoded(picture(), "PNG")
    assert take_apart(data).data is data


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"tRNS", b"IDAT"])
def test_a_damaged_chunk_that_decides_pixels_is_a_fault(name: bytes):
    data = bytearray(encoded(picture("P"), "PNG", transparency=3))
    at = data.index(name)
    length = int.from_bytes(data[at - 4 : at], "big")
    data[at + 4 + length] ^= 255
    assert refusal(bytes(data)) is ErrorCode.CORRUPT_IMAGE


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_zeros_are_not_read_as_a_flat_area(share: float):
    disc = Image.new("RGB", (400, 400), "white")
    ImageDraw.Draw(disc).ellipse((40, 40, 360, 360), fill="brown")
    data = encoded(disc, "PNG")
    kept = int(share * len(data))
    assert refusal(data[:kept] + bytes(len(data) - kept)) is ErrorCode.CORRUPT_IMAGE


@pytest.mark.slow
def test_endless_chunks_are_not_kept():
    empty = chunk(b"IDAT", b"")
    assert_like(decode(with_chunks(empty * 999), LIMITS).rgb, picture())
    assert refusal(with_chunks(empty * 100_000)) is ErrorCode.CORRUPT_IMAGE


def test_xcodes_variant_is_refused_by_name():
    data = png(8, 6, bytes(8))
    data = data[:8] + chunk(b"CgBI", b"\x50\0\x20\x06") + data[8:]
    with pytest.raises(PermanentError, match="CgBI") as caught:
        decode(data, LIMITS)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


# the colour that is transparent


def test_a_16_bit_colour_is_transparent_at_16_bits():
    row = struct.pack(">9H", 1000, 2000, 3000, 1001, 2000, 3000, 9, 9, 9)
    data = png(16, 2, row, (b"tRNS", struct.pack(">3H", 1000, 2000, 3000)), width=3)
    alpha = decode(data, LIMITS).alpha
    assert alpha is not None
    assert list(alpha.tobytes()) == [0, 255, 255]


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_grey_is_transparent_at_its_own_depth(depth: int):
    values = [0, 1, 2**depth - 1]
    bits = "".join(f"{value:0{depth}b}" for value in values)
    row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    for key in {*values}:
        data = png(depth, 0, row, (b"tRNS", struct.pack(">H", key)), width=3)
        alpha = decode(data, LIMITS).alpha
        assert alpha is not None
        assert list(alpha.tobytes()) == [0 if value == key else 255 for value in values]


def test_a_key_that_no_pixel_has_makes_nothing_transparent():
    data = png(16, 2, bytes(12), (b"tRNS", struct.pack(">3H", 1, 0, 0)))
    alpha = decode(data, LIMITS).alpha
    assert alpha is None or alpha.getextrema() == (255, 255)
    assert isinstance(decode(data, LIMITS).rgb, Image.Image)
