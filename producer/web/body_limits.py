"""How large the body of a request may be. Stated here and nowhere else."""

from collections.abc import Iterable
from dataclasses import dataclass

JSON_BYTES = 64 * 1024
"""Maximum size in bytes of a body without a photograph, and of the fields beside a photograph."""


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """A row of the table: requests to `path_prefix` with `content_type` have `max_bytes`."""

    path_prefix: str
    content_type: str
    """a prefix of the Content-Type header; empty for any"""
    max_bytes: int


def upload_bytes(max_image_bytes: int) -> int:
    """Return the maximum size of a body that holds a photograph of at most `max_image_bytes`."""
    return max_image_bytes + JSON_BYTES


def body_limits(max_image_bytes: int) -> tuple[BodyLimit, ...]:
    """Return the table of limits. The first row that matches a request applies to it."""
    upload = upload_bytes(max_image_bytes)
    return (
        BodyLimit("/v1/cutouts", "multipart/form-data", upload),
        BodyLimit("/v1.0/removebg", "", upload),  # a photograph may also come as base64 in JSON
        BodyLimit("", "", JSON_BYTES),
    )


def max_body_bytes(limits: Iterable[BodyLimit], path: str, content_type: str) -> int:
    """Return the limit of a request in bytes."""
    content_type = content_type.strip().lower()
    return next(
        limit.max_bytes
        for limit in limits
        if path.startswith(limit.path_prefix) and content_type.startswith(limit.content_type)
    )
