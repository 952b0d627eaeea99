"""The properties of the primary image of an AVIF or HEIC: those of gain maps and previews differ.

Boxes are those of ISO/IEC 14496-12; their fields those of ISO/IEC 23008-12, section 9.3.
"""

import struct
from collections.abc import Iterator

Span = tuple[int, int]
"""start and end of a box's content"""
FULL_BOX_HEADER = 4
"""Bytes of version and flags."""
LARGE = 1
"""A size that says that the real one follows, in 64 bits."""


def primary_properties(header: bytes, name: bytes) -> list[bytes]:
    """Return the contents of the primary image's properties of a name, such as b"colr".

    `header`: the file's beginning. Empty if the file is damaged or says nothing.
    """
    try:
        return _properties(header, name)
    except (struct.error, IndexError):
        return []


def _properties(header: bytes, name: bytes) -> list[bytes]:
    meta = _children(header, (0, len(header))).get(b"meta")
    if not meta:
        return []
    parts = _children(header, (meta[0] + FULL_BOX_HEADER, meta[1]))
    described = _children(header, parts.get(b"iprp", (0, 0)))
    if b"pitm" not in parts or not {b"ipco", b"ipma"} <= described.keys():
        return []
    available = [*_boxes(header, described[b"ipco"])]
    indices = _associated(header, described[b"ipma"], _primary_item(header, parts[b"pitm"]))
    used = [available[index - 1] for index in indices if 0 < index <= len(available)]
    return [header[start:end] for kind, (start, end) in used if kind == name]


def _boxes(data: bytes, span: Span) -> Iterator[tuple[bytes, Span]]:
    """Yield the name and the content's span of each box within a span."""
    start, end = span
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == LARGE:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        following = start + size if size else end
        if following < content:
            return
        yield name, (content, min(following, end))
        start = following


def _children(data: bytes, span: Span) -> dict[bytes, Span]:
    return dict(_boxes(data, span))


def _primary_item(data: bytes, span: Span) -> int:
    """Return the ID of the primary item, from the box `pitm`."""
    form = ">I" if data[span[0]] else ">H"
    item: int = struct.unpack_from(form, data, span[0] + FULL_BOX_HEADER)[0]
    return item


def _associated(data: bytes, span: Span, wanted: int) -> list[int]:
    """Return the numbers, from 1, of an item's properties, from the box `ipma`."""
    version, is_wide = data[span[0]], data[span[0] + FULL_BOX_HEADER - 1] & 1
    item_form = struct.Struct(">I" if version else ">H")
    position = span[0] + FULL_BOX_HEADER + 4
    while position < span[1]:
        (item,) = item_form.unpack_from(data, position)
        position += item_form.size
        count = data[position]
        numbers = struct.unpack_from(f">{count}{'H' if is_wide else 'B'}", data, position + 1)
        if item == wanted:
            return [value & (0x7FFF if is_wide else 0x7F) for value in numbers]
        position += 1 + count * (2 if is_wide else 1)
    return []
