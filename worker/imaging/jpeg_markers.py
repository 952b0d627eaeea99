"""The structure of a JPEG: what kind it is, and whether only its end marker is missing.

Markers are those of ITU-T T.81, annex B.
"""

import re
from dataclasses import dataclass, field

END = b"\xff\xd9"
SCAN, FIRST_FRAME, LAST_FRAME = 0xDA, 0xC0, 0xCF
NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})
"""Markers between those of frames that are none: tables, an extension, arithmetic conditioning."""
WITHOUT_CONTENT = frozenset({0x01, *range(0xD0, 0xD9)})
JPEG_LS_FRAME = 0xF7
DECODED_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Sequential and progressive, by Huffman or arithmetic coding."""
COEFFICIENTS = 64
AFTER_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""The next marker but restarts: 0xff in the scan itself is followed by zero."""


MAX_SEGMENTS = 10_000
"""Before the first scan. Photographs have less than a thousand; each is at most 64 KB long."""


@dataclass(slots=True)
class Structure:
    """What the markers of a JPEG say."""

    frame: int = 0
    """the marker of its frame; 0 if missing"""
    precision: int = 0
    """bits per sample"""
    components: int = 0
    end: int | None = None
    """offset of its end marker; None if missing"""
    pending: set[tuple[int, int]] = field(default_factory=set)
    """components and coefficients of which no scan has brought the last bit"""

    @property
    def unsupported(self) -> str:
        """Name what no decoder here reads; empty for common JPEGs."""
        if self.frame and self.frame not in DECODED_FRAMES:
            name = "JPEG-LS" if self.frame == JPEG_LS_FRAME else "JPEG, lossless or hierarchical"
            return f"{name} (marker {self.frame:#x})"
        if self.frame and (self.precision != 8 or self.components not in {1, 3, 4}):  # noqa: PLR2004
            return f"JPEG with {self.components} components of {self.precision} bits"
        return ""


def read_structure(data: bytes) -> Structure:
    """Read the markers of a JPEG up to its end, or as far as they make sense."""
    structure, position = Structure(), 2
    while position + 4 <= len(data) and data[position] == 0xFF:  # noqa: PLR2004
        marker = data[position + 1]
        if marker == 0xFF:  # noqa: PLR2004
            position += 1
        elif marker == END[1]:
            structure.end = position
            return structure
        elif marker in WITHOUT_CONTENT:
            position += 2
        else:
            end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
            content = data[position + 4 : end]
            position = end
            if marker == SCAN:
                _note_scan(structure, content)
                following = AFTER_SCAN.search(data, end)
                position = following.end() - 2 if following else len(data)
            elif _is_frame(marker) and len(content) > 5:  # noqa: PLR2004
                _note_frame(structure, marker, content)
    if data[position : position + 2] == END:
        structure.end = position
    return structure


def check_segments(data: bytes) -> None:
    """Raise ValueError for more segments than MAX_SEGMENTS: Pillow keeps each in 140 bytes."""
    position, segments = 2, 0
    while position + 4 <= len(data) and data[position] == 0xFF:  # noqa: PLR2004
        marker = data[position + 1]
        if marker in {SCAN, END[1]}:
            return
        if marker == 0xFF:  # noqa: PLR2004
            position += 1
        elif marker in WITHOUT_CONTENT:
            position += 2
        else:
            segments += 1
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if segments > MAX_SEGMENTS:
            raise ValueError("the file has too many segments")


def _is_frame(marker: int) -> bool:
    return marker == JPEG_LS_FRAME or (
        FIRST_FRAME <= marker <= LAST_FRAME and marker not in NO_FRAME
    )


def _note_frame(structure: Structure, marker: int, content: bytes) -> None:
    structure.frame, structure.precision, structure.components = marker, content[0], content[5]
    structure.pending = {(component, k) for component in content[6::3] for k in range(COEFFICIENTS)}


def _note_scan(structure: Structure, content: bytes) -> None:
    """Take off what a scan brings: a band of coefficients of some components, to a last bit."""
    if not content or len(content) < 4 + 2 * content[0]:
        return
    components = content[1 : 1 + 2 * content[0] : 2]
    first, last, approximation = content[1 + 2 * content[0] : 4 + 2 * content[0]]
    if approximation & 15 == 0:
        structure.pending -= {(c, k) for c in components for k in range(first, last + 1)}


def may_lack_only_its_end(data: bytes) -> bool:
    """Check if a JPEG has all of its scans, but no end marker. The last scan may be cut short."""
    structure = read_structure(data)
    return bool(structure.frame) and structure.end is None and not structure.pending
