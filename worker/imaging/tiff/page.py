"""Which page of a TIFF is the photograph."""

from itertools import chain

from contract.errors import ErrorCode, PermanentError
from worker.imaging.tiff.directory import (
    COMPRESSION,
    DNG_VERSION,
    PHOTOMETRIC,
    SUBFILE,
    Page,
    read_pages,
    read_sub_directories,
)

REDUCED, MASK = 1, 4
"""Bits of NewSubfileType: a smaller version of another page, the transparency of another page."""
RAW_PHOTOMETRIC = frozenset({32803, 34892})
"""Colour filter array, linear raw."""
RAW_COMPRESSION = frozenset({34713, 34892, 32767, 32769, 32770, 65535})
"""Of Nikon's, Adobe's, Sony's, Samsung's, Epson's and Pentax's cameras."""
CR2_MARK = slice(8, 10), b"CR"


def photograph_page(data: bytes) -> Page:
    """Return the first page that is neither a thumbnail nor a mask.

    Raises PermanentError (`unsupported_format`) for a camera's raw file, in which that would be a
    preview, EOFError or ValueError if the file has no directory.
    """
    pages = read_pages(data)
    if name := _raw_name(data, pages):
        message = f"The file is {name}: the data of a camera's sensor, with a preview."
        raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, message)
    for page in pages:
        if not page.value(SUBFILE, 0) & (REDUCED | MASK):
            return page
    if any(not sub.value(SUBFILE, 0) & (REDUCED | MASK) for sub in _below(data, pages)):
        message = "The file is TIFF with thumbnails as its only pages, and the image below one."
        raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, message)
    return pages[0]


def _raw_name(data: bytes, pages: list[Page]) -> str:
    """Name the kind of a camera's raw file; empty for others."""
    if any(DNG_VERSION in page.tags for page in pages):
        return "DNG"
    where, mark = CR2_MARK
    if data[where] == mark:
        return "CR2"
    for page in chain(pages, _below(data, pages)):
        if page.value(PHOTOMETRIC, 0) in RAW_PHOTOMETRIC:
            return "a raw file in TIFF"
        if page.value(COMPRESSION, 1) in RAW_COMPRESSION:
            return "a raw file in TIFF, such as NEF"
    return ""


def _below(data: bytes, pages: list[Page]) -> chain[Page]:
    return chain.from_iterable(read_sub_directories(data, page) for page in pages)
