"""Objects that were compressed on upload: their `Content-Encoding` says how to read them."""

import zlib

from contract.errors import ErrorCode, PermanentError

PLAIN = frozenset({"", "identity", "aws-chunked", "utf-8"})
"""Encodings, and values that stand there by mistake, of content that is not compressed."""
GZIP = frozenset({"gzip", "x-gzip"})
GZIP_MAGIC = b"\x1f\x8b"
MAX_BYTES = 1 << 30
"""Most bytes that are decoded if the caller names no limit."""


def decoded(data: bytes, encoding: str, max_bytes: int | None = None) -> bytes:
    """Return an object's content, decoded as its Content-Encoding says.

    Raises PermanentError: `too_many_bytes` before more than `max_bytes` are decoded,
    `unsupported_format` for an encoding other than gzip, `truncated_image` or `corrupt_image`.
    """
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) not in PLAIN]
    for name in reversed(names):
        if name not in GZIP:
            raise PermanentError(
                ErrorCode.UNSUPPORTED_FORMAT,
                f"The object is stored with the Content-Encoding {name[:20]!a}; only gzip is"
                " decoded.",
            )
        # some programs upload plain content under this header
        if data.startswith(GZIP_MAGIC):
            data = _gunzipped(data, MAX_BYTES if max_bytes is None else max_bytes)
    return data


def _gunzipped(data: bytes, max_bytes: int) -> bytes:
    """Return the content of a gzip file, of one or more members."""
    content = bytearray()
    while data.startswith(GZIP_MAGIC):  # other bytes behind a member are padding
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            content += member.decompress(data, max_bytes + 1 - len(content))
        except zlib.error:
            raise PermanentError(
                ErrorCode.CORRUPT_IMAGE, "The gzip data of the object is damaged."
            ) from None
        if len(content) > max_bytes:
            raise PermanentError(
                ErrorCode.TOO_MANY_BYTES,
                f"Decompressed, the object has more than the limit of {max_bytes:,} bytes.",
            )
        if not member.eof:
            raise PermanentError(
                ErrorCode.TRUNCATED_IMAGE, "The gzip data of the object ends early."
            )
        data = member.unused_data
    return bytes(content)
