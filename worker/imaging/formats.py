"""Image formats, recognised by their first bytes, and decoder failures as error codes."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ImageCms

from contract.errors import ErrorCode, PermanentError
from worker.imaging.heif import detect_heif
from worker.imaging.jpeg_markers import read_structure

SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
"""First bytes of the supported formats but WebP, AVIF and HEIC, with Pillow's format names.

The last two are BigTIFF.
"""

UNSUPPORTED_SIGNATURES = (
    (0, b"8BPS", "PSD"),
    (0, b"%PDF", "PDF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"<svg", "SVG"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"IIR", "ORF, a camera's raw file"),
    (0, b"MMOR", "ORF, a camera's raw file"),
    (0, b"IIU\0", "RW2, a camera's raw file"),
    (0, b"FUJIFILMCCD-RAW", "RAF, a camera's raw file"),
    # the major brand of an ISO base media file (ISO/IEC 14496-12)
    (4, b"ftypcrx", "CR3, a camera's raw file"),
    (4, b"ftypmif1", "HEIF with neither AVIF nor HEIC"),
    (4, b"ftypmsf1", "HEIF with neither AVIF nor HEIC"),
)
"""Formats named in the error message: byte offset, signature, name."""

TRUNCATED = "The file ends before the image does."

DECODER_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, NameError,
    OSError, RuntimeError, SyntaxError, TypeError, ValueError,
    struct.error, zlib.error, ImageCms.PyCMSError,
)  # fmt: skip
"""What Pillow and the libraries below it raise on damaged files: nearly every built-in exception.

`Exception` would be too wide: a time limit is raised into whatever code is running, as an
exception of its own type, and must not count as a damaged image.
"""


def detect_format(data: bytes) -> str:
    """Return Pillow's name of the format by signature alone.

    Raises PermanentError: `empty_file`, `not_an_image`, `unsupported_format`.
    """
    if not data:
        raise PermanentError(ErrorCode.EMPTY_FILE, "The file is empty.")
    for signature, name in SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":  # RFC 9649, section 2.4
        return "WEBP"
    if name := detect_heif(data):
        return name
    for offset, signature, name in UNSUPPORTED_SIGNATURES:
        if data[offset : offset + len(signature)] == signature:
            raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, f"The file is {name}.")
    if data[:50].lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"<?xml") and b"<svg" in data[:4096]:
        raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, "The file is SVG.")
    raise PermanentError(ErrorCode.NOT_AN_IMAGE, "The content is not an image.")


@contextmanager
def decoder_errors_as_codes(data: bytes, format_name: str) -> Iterator[None]:
    """Turn a decoder's exception into PermanentError.

    Its code is `unsupported_format`, `truncated_image` or `corrupt_image`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about odd metadata help nobody here
            yield
    except DECODER_ERRORS as error:
        text = str(error).lower()
        if variant := _unsupported_variant(data, format_name, text):
            raise PermanentError(ErrorCode.UNSUPPORTED_FORMAT, f"The file is {variant}.") from error
        if (
            "truncated" in text
            or "unexpected end" in text
            or isinstance(error, EOFError)
            or _is_shorter_than_declared(data, format_name)
        ):
            raise PermanentError(ErrorCode.TRUNCATED_IMAGE, TRUNCATED) from error
        raise PermanentError(
            ErrorCode.CORRUPT_IMAGE, f"The image cannot be decoded ({type(error).__name__})."
        ) from error


def _unsupported_variant(data: bytes, format_name: str, text: str) -> str:
    """Name a variant that no decoder here reads; empty if the file is damaged."""
    if format_name == "JPEG":
        return read_structure(data).unsupported
    if format_name == "BMP" and "unsupported bmp" in text:
        return f"BMP of an unusual kind ({text})"
    return ""


def _is_shorter_than_declared(data: bytes, format_name: str) -> bool:
    """Detect truncation in the formats whose decoders do not report it but whose headers show it.

    WebP declares its length (RFC 9649, section 2.4). TIFF gives the offset of its first directory
    (TIFF 6.0, section 2), which is often written at the end.
    """
    if format_name == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if format_name == "TIFF" and data[2:4] in {b"*\0", b"\0*"}:
        return int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big") >= len(data)
    return False
