"""The tags of a TIFF's pages, read without decoding anything.

Layouts are those of TIFF 6.0, section 2, and of BigTIFF.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
FILL_ORDER, SAMPLES, PLANES, TILE_WIDTH, TILE_HEIGHT = 266, 277, 284, 322, 323
SUB_DIRECTORIES, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, SUBSAMPLING = 330, 332, 338, 339, 530
DEPTH, DNG_VERSION, LERC_PARAMETERS = 32997, 50706, 50674
INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Field types that hold unsigned integers, as `struct` names them."""
FIELD_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1)) | {16: 8, 17: 8, 18: 8}
MAX_PAGES = 20
"""Directories read. The photograph is among the first."""
MAX_SUB_DIRECTORIES = 8
"""Read of each page."""
MAX_ENTRIES = 1024
"""Tags of a directory. Photographs have less than a hundred."""
MAX_VALUES = 32
"""Values read of each tag."""


@dataclass(frozen=True, slots=True)
class Page:
    """A directory: an image within the file."""

    index: int
    tags: dict[int, tuple[int, ...]]

    def value(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return self.tags[tag][0] if self.tags.get(tag) else default


@dataclass(frozen=True, slots=True)
class _Form:
    """Byte order and widths of a file's offsets and counts."""

    order: str
    count: str
    """of a directory's entries"""
    offset: str
    """of anything in the file"""

    def read(self, data: bytes, position: int, kind: str, count: int = 1) -> tuple[int, ...]:
        return struct.unpack_from(f"{self.order}{count}{kind}", data, position)


CLASSIC, BIG = 42, 43
BIG_HEADER = 16


def is_big_endian_bigtiff(data: bytes) -> bool:
    """Check for the variant that Pillow cannot read."""
    return data[:4] == b"MM\0\x2b"


def read_pages(data: bytes) -> list[Page]:
    """Return the pages in the file's order.

    Raises EOFError if a directory lies beyond the end, ValueError if the file has none.
    """
    form, offset = _header(data)
    pages: list[Page] = []
    seen: set[int] = set()
    while offset and offset not in seen and len(pages) < MAX_PAGES:
        seen.add(offset)
        try:
            tags, offset = _directory(data, form, offset)
        except (struct.error, OverflowError):
            if pages:  # the photograph may be whole
                break
            raise EOFError("the file ends before its first directory") from None
        pages.append(Page(len(pages), tags))
    if not pages:
        raise ValueError("the file has no directory")
    return pages


def read_sub_directories(data: bytes, page: Page) -> Iterator[Page]:
    """Yield the directories that a page refers to: previews, or the raw data of a camera."""
    form, _ = _header(data)
    for offset in page.tags.get(SUB_DIRECTORIES, ())[:MAX_SUB_DIRECTORIES]:
        try:
            yield Page(page.index, _directory(data, form, offset)[0])
        except (struct.error, OverflowError):
            continue


def _header(data: bytes) -> tuple[_Form, int]:
    """Return the form of a file and the offset of its first directory."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        if version == BIG:
            form = _Form(order, "Q", "Q")
            return form, form.read(data, 8, "Q")[0]
        form = _Form(order, "H", "I")
        return form, form.read(data, 4, "I")[0]
    except struct.error:
        raise EOFError("the file ends within its header") from None


def _directory(data: bytes, form: _Form, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the tags of a directory that are integers, and the offset of the next directory.

    Raises struct.error or OverflowError if the file ends before, or the directory is too long.
    """
    (entries,) = form.read(data, offset, form.count)
    if entries > MAX_ENTRIES:
        raise struct.error("not a directory")
    offset += struct.calcsize(f"={form.count}")
    inline = struct.calcsize(f"={form.offset}")
    length = 4 + 2 * inline
    tags = {}
    for start in range(offset, offset + entries * length, length):
        tag, kind = form.read(data, start, "H", 2)
        (count,) = form.read(data, start + 4, form.offset)
        if kind not in INTEGERS:
            continue
        position = start + 4 + inline
        if count * FIELD_SIZES[kind] > inline:
            (position,) = form.read(data, position, form.offset)
        try:
            tags[tag] = form.read(data, position, INTEGERS[kind], min(count, MAX_VALUES))
        except (struct.error, OverflowError):
            continue  # damage beside the pixels
    (following,) = form.read(data, offset + entries * length, form.offset)
    return tags, following
