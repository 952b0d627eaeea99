"""A new object, and the checks of the fields that name it. Senders are not trusted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from contract.errors import ErrorCode, PermanentError

MAX_KEY_BYTES = 1024
"""Maximum size of an object's key in UTF-8: S3's own limit."""
MAX_SIZE = 2**63 - 1
"""Maximum size of an object in bytes that is accepted as a number."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """A new object."""

    bucket: str
    key: str
    """decoded, but not checked (see `names.check_key`)"""
    size: int | None
    """bytes; None if the event does not say"""
    etag: str
    """without quotes; empty if the event has none"""
    sequencer: str
    """orders the events of one key, if compared as text; empty if the event has none"""
    name: str
    """the event's name without `s3:`, such as `ObjectCreated:Put` or `Object Created`"""
    record: int = field(default=1, compare=False)
    """its position in the notification, from 1"""


def object_event(
    bucket: str, key: str, name: str, *, size: object = None, etag: str = "", sequencer: str = ""
) -> ObjectEvent:
    """Return an event. Raises PermanentError (`invalid_event`) if a field cannot be right."""
    if not _BUCKET.fullmatch(bucket):
        raise invalid("the name of its bucket is not valid")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise invalid(f"a key is longer than {MAX_KEY_BYTES:,} bytes")
    return ObjectEvent(bucket, key, _size(size), etag.strip('"'), sequencer, name)


def _size(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value):  # Ceph sends text
        value = int(value)
    if value is None or (type(value) is int and 0 <= value <= MAX_SIZE):
        return value
    raise invalid("a size is not a number of bytes")


def object_field(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise invalid(f"{name} is missing or not an object")
    return value


def text_field(parent: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a text field; `default` if it is missing. Without a default, it must not be empty."""
    value = parent.get(name)
    if value is None and default is not None:
        return default
    if not is_text(value) or (not value and default is None):
        raise invalid(f"{name} is missing or not text")
    return value


def is_text(value: object) -> TypeGuard[str]:
    """Return whether this is text that UTF-8 can hold: JSON can spell half a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def invalid(reason: str) -> PermanentError:
    return PermanentError(ErrorCode.INVALID_EVENT, f"The notification is invalid: {reason}.")
