"""The chunks of a PNG that its pixels and colours need. A decoder sees no others.

Texts, thumbnails and animations may be broken, or unpack to gigabytes, without any harm to the
photograph. Layouts are those of the PNG specification, third edition.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from contract.errors import ErrorCode, PermanentError

SIGNATURE_LENGTH = 8
CHUNK_OVERHEAD = 12
"""Bytes of a chunk's length, name and checksum."""
PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""Chunks without which the pixels are wrong. They are kept even if damaged: the decoder refuses.

But it does not look at the checksum of IDAT, and a flat area may be read of any bytes.
"""
KEPT_LENGTHS = {b"pHYs": range(9, 10), b"eXIf": range(1, 1 << 16)}
"""Other chunks that the decoder sees, if undamaged, with the lengths that they may have."""
COLOUR_LENGTHS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
MAX_PROFILE_BYTES = 1 << 24
"""Unpacked. Profiles of printers and scanners have up to 4 MB."""
MAX_PROFILE_NAME = 79
MAX_CHUNKS = 100_000
"""Writers make chunks of 8 KB or more. Each is kept in 200 bytes."""


class PngParts(NamedTuple):
    """A PNG, taken apart."""

    data: bytes
    """the file without what a decoder does not need; what describes the pixels is before them"""
    colour_chunks: dict[bytes, bytes]
    """cICP, sRGB, gAMA and cHRM, by name"""
    icc_profile: bytes | None


class _Chunk(NamedTuple):
    name: bytes
    start: int
    end: int
    """of the whole chunk; beyond the end of the file if it is truncated"""


def take_apart(data: bytes) -> PngParts:
    """Separate what decodes the pixels of a PNG from what describes their colours.

    A damaged chunk that describes colours counts as missing. Raises PermanentError
    (`unsupported_format`) for Xcode's variant, ValueError for damaged pixels and for more
    chunks than MAX_CHUNKS.
    """
    view = memoryview(data)
    kept = [view[:SIGNATURE_LENGTH]]
    described: dict[bytes, bytes] = {}
    seen: set[bytes] = set()
    pixels, moved = 0, False
    for number, chunk in enumerate(_chunks(data)):
        if number >= MAX_CHUNKS:
            raise ValueError("the file has too many chunks")
        if chunk.name == b"CgBI":
            message = "The file is a PNG in Xcode's variant CgBI, which only Apple's programs read."
            raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, message)
        content = view[chunk.start + 8 : chunk.end - 4]
        if chunk.name == b"IDAT":
            pixels = pixels or len(kept)
            if chunk.end <= len(data) and not _is_sound(chunk, data):
                raise ValueError("the checksum of pixels is wrong")
        if chunk.name in PIXELS or chunk.end > len(data):
            kept.append(view[chunk.start : chunk.end])
        elif chunk.name in seen or not _is_sound(chunk, data):
            continue
        elif len(content) in KEPT_LENGTHS.get(chunk.name, ()):
            seen.add(chunk.name)
            # so that the header says all, and a bomb is recognised before it is decoded
            kept.insert(pixels or len(kept), view[chunk.start : chunk.end])
            moved = moved or pixels > 0
        elif chunk.name == b"iCCP" or COLOUR_LENGTHS.get(chunk.name) == len(content):
            seen.add(chunk.name)
            described[chunk.name] = bytes(content)
    profile = _unpacked_profile(described.pop(b"iCCP", b""))
    unchanged = sum(map(len, kept)) == len(data) and not moved
    needed = data if unchanged else b"".join(kept)
    return PngParts(needed, described, profile)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield the chunks up to IEND or the end of the file."""
    start, name = SIGNATURE_LENGTH, b""
    while start < len(data) and name != b"IEND":
        if start + 8 > len(data):
            yield _Chunk(b"", start, start + CHUNK_OVERHEAD)
            return
        length, name = struct.unpack_from(">I4s", data, start)
        yield _Chunk(name, start, start + CHUNK_OVERHEAD + length)
        start += CHUNK_OVERHEAD + length


def _is_sound(chunk: _Chunk, data: bytes) -> bool:
    checked = memoryview(data)[chunk.start + 4 : chunk.end - 4]
    checksum = int.from_bytes(data[chunk.end - 4 : chunk.end], "big")
    return zlib.crc32(checked) == checksum


def _unpacked_profile(chunk: bytes) -> bytes | None:
    """Return the profile of an iCCP chunk; None if it is broken or too large."""
    name, _, packed = chunk.partition(b"\0")
    if not 0 < len(name) <= MAX_PROFILE_NAME or packed[:1] != b"\0":
        return None
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if unpacker.eof else None
