"""Locations as users write them (a folder, `file://`, `s3://`), and the stores they name."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

from contract.errors import ErrorCode, PermanentError
from contract.paths import resolve
from contract.storage.files import FileStore
from contract.storage.protocol import Store


@cache
def open_store(location: str) -> Store:
    """Return the store at a location. Cached per process and location, so connections are reused.

    Raises PermanentError (`invalid_location`). Never call it before a fork: connections do not
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
            from contract.storage.s3 import S3Store  # noqa: PLC0415 - importing boto3 takes 0.3 s

            return S3Store(bucket, prefix)
    raise _unknown(location)


def canonical_location(location: str) -> str:
    """Return the URI of a location without opening it: the same for `a`, `./a` and `a/`.

    Keys in buckets may have empty parts, so `s3://b//a` stays another location than `s3://b/a`.
    Raises PermanentError (`invalid_location`).
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        if re.match(r"[a-z0-9]+:/", location):  # or `s3:/bucket` would name a folder
            raise PermanentError(
                ErrorCode.INVALID_LOCATION, f"{location!r} lacks a slash, as in s3://bucket/prefix."
            )
        return _folder_uri(Path(location))
    if scheme == "file" and rest.startswith("/"):
        return _folder_uri(Path(unquote(rest)))
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3" and bucket:
        return f"s3://{bucket}/{prefix}".rstrip("/")
    raise _unknown(location)


def _folder_uri(folder: Path) -> str:
    path = str(resolve(folder))
    try:
        return "file://" + quote(path)
    except UnicodeEncodeError:
        raise PermanentError(
            ErrorCode.INVALID_LOCATION, f"The name of {path!r} is not Unicode: rename the folder."
        ) from None


def split_object(location: str) -> tuple[str, str]:
    """Split the location of an object or file: `s3://b/a/c.jpg` into `s3://b/a` and `c.jpg`.

    Empty parts go to the key: `s3://b/a//c.jpg` has the key `/c.jpg` in `s3://b/a`.
    """
    scheme, _, rest = location.partition("://")
    head, separator, tail = rest.partition("//")
    if scheme == "s3" and separator:
        return f"s3://{head}", f"/{tail}"
    folder, _, key = location.rpartition("/")
    return folder, key


def _unknown(location: str) -> PermanentError:
    return PermanentError(
        ErrorCode.INVALID_LOCATION, f"{location!r} is neither a folder nor s3://bucket/prefix."
    )
