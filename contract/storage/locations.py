"""From what a person writes (a folder, `file://`, `s3://`) to a store."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

from contract.errors import ErrorCode, PermanentError
from contract.storage.files import FileStore
from contract.storage.protocol import Store


@cache
def open_store(location: str) -> Store:
    """Open a location: one store a process and place, so that connections are kept.

    Raises PermanentError (`invalid_location`). Never call it before a fork: clients do not
    survive one.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        return FileStore(Path(location))
    if scheme == "file" and rest.startswith("/"):
        return FileStore(Path(unquote(rest)))
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if bucket:
            from contract.storage.s3 import S3Store  # noqa: PLC0415 - 0.3 s that a folder need not pay

            return S3Store(bucket, prefix)
    raise PermanentError(ErrorCode.INVALID_LOCATION, f"{location!r} is no location we know.")


def canonical_location(location: str) -> str:
    """Return the URI of a location without opening it: the same for `a`, `./a` and `a/`."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        if re.match(r"[a-z0-9]+:/", location):  # `s3:/bucket` would be a folder of that name
            raise PermanentError(
                ErrorCode.INVALID_LOCATION, f"{location!r} lacks a slash, as in s3://bucket/prefix."
            )
        return "file://" + quote(str(Path(location).expanduser().resolve()))
    if scheme == "file" and rest.startswith("/"):
        return "file://" + quote(str(Path(unquote(rest)).resolve()))
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3" and bucket:
        return f"s3://{bucket}/{prefix.strip('/')}".rstrip("/")
    raise PermanentError(ErrorCode.INVALID_LOCATION, f"{location!r} is no location we know.")
