"""Parses notifications of new objects. Pure: it fetches nothing and authenticates nothing.

Accepted are the notifications of S3 (MinIO and Ceph send the same) and of EventBridge, either of
them inside an SNS message, and CloudEvents 1.0 around them. The sender is verified elsewhere:
`producer/web/events/sns.py` for SNS, `producer/callbacks/signatures.py` for signed requests.

S3:           https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
EventBridge:  https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
CloudEvents:  https://github.com/cloudevents/spec/blob/main/cloudevents/adapters/aws-s3.md
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard
from urllib.parse import unquote_plus

from contract.errors import ErrorCode, PermanentError

MAX_KEY_BYTES = 1024
"""Maximum size of an object's key in UTF-8: S3's own limit."""
MAX_SIZE = 2**63 - 1
"""Maximum size of an object in bytes that is accepted as a number."""
SNS_TYPES = frozenset({"Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"})

CREATED_REASONS = frozenset({"PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"})
"""EventBridge's reasons for a new object. They count if the event has no name of its own."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_S3_TYPE = re.compile(r"(?:com\.amazon(?:aws)?|aws)\.s3(?:[.:](.*))?", re.IGNORECASE | re.DOTALL)


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


def read(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object. Raises PermanentError (`invalid_event`)."""
    try:
        document = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _invalid("it is not JSON") from None
    if not isinstance(document, dict):
        raise _invalid("it is not a JSON object")
    return document


def is_sns(document: Mapping[str, Any]) -> bool:
    """Return whether this is an SNS message, which must be verified before it is parsed."""
    return "TopicArn" in document and "Type" in document


def parse(document: Mapping[str, Any], headers: Mapping[str, str]) -> list[ObjectEvent]:
    """Return the new objects that a notification announces. Other events are left out.

    Raises PermanentError (`invalid_event`), and nothing else, whatever the document holds.
    """
    if is_sns(document):
        message_type = document["Type"]
        if not isinstance(message_type, str) or message_type not in SNS_TYPES:
            raise _invalid("the Type of the SNS message is unknown")
        if message_type != "Notification":
            return []
        return _parse_aws(read(_text(document, "Message").encode()))
    lower = {name.lower(): value for name, value in headers.items()}
    content_type = lower.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/cloudevents+json" or "specversion" in document:
        return _parse_cloud_event(document, _cloud_event_data(document))
    if content_type.startswith("application/cloudevents"):
        raise _invalid("CloudEvents must be sent one per request, as JSON")
    if "ce-specversion" in lower:
        attributes = {name[3:]: value for name, value in lower.items() if name.startswith("ce-")}
        return _parse_cloud_event(attributes, document)
    return _parse_aws(document)


def _parse_aws(document: Mapping[str, Any]) -> list[ObjectEvent]:
    """Parse a notification of S3 or EventBridge."""
    if "Records" in document:
        records = document["Records"]
        if not isinstance(records, list) or not all(isinstance(row, dict) for row in records):
            raise _invalid("Records is not a list of objects")
        return [event for record in records for event in _parse_s3_record(record)]
    if "detail-type" in document:
        if document.get("source") != "aws.s3":
            raise _invalid("its source is not aws.s3")
        name = _text(document, "detail-type")
        return [_eventbridge_event(_object(document, "detail"), name)] if _creates(name) else []
    if document.get("Event") == "s3:TestEvent":
        return []
    raise _invalid("its format is unknown")


def _parse_cloud_event(attributes: Mapping[str, Any], data: Mapping[str, Any]) -> list[ObjectEvent]:
    if attributes.get("specversion") != "1.0":
        raise _invalid("its specversion is not 1.0")
    event_type = _S3_TYPE.fullmatch(_text(attributes, "type"))
    if event_type is None:
        raise _invalid("its type is not a type of S3")
    if "s3" in data:
        return _parse_s3_record(data)
    if "object" in data:
        name = event_type[1] or _text(data, "reason")
        created = _creates(name) or name in CREATED_REASONS
        return [_eventbridge_event(data, name)] if created else []
    return _parse_aws(data)


def _cloud_event_data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "data_base64" not in document:
        return _object(document, "data")
    try:
        return read(base64.b64decode(_text(document, "data_base64"), validate=True))
    except ValueError:
        raise _invalid("data_base64 is not base64") from None


def _creates(name: str) -> bool:
    """Return whether an event's name means a new object.

    `ObjectCreated:Put`, `Object Created` and `object.created` do.
    """
    return re.sub(r"[^a-z]", "", name.lower()).startswith("objectcreated")


def _parse_s3_record(record: Mapping[str, Any]) -> list[ObjectEvent]:
    name = _text(record, "eventName").removeprefix("s3:")
    if not _creates(name):
        return []
    s3 = _object(record, "s3")
    s3_object = _object(s3, "object")
    try:
        # form-encoded: a space is `+`
        key = unquote_plus(_text(s3_object, "key"), errors="strict")
    except UnicodeDecodeError:
        raise _invalid("a key is not UTF-8") from None
    return [_event(_object(s3, "bucket"), s3_object, key, "eTag", name)]


def _eventbridge_event(detail: Mapping[str, Any], name: str) -> ObjectEvent:
    s3_object = _object(detail, "object")
    # not encoded: `+` is a plus sign
    key = _text(s3_object, "key")
    return _event(_object(detail, "bucket"), s3_object, key, "etag", name)


def _event(
    bucket: Mapping[str, Any], s3_object: Mapping[str, Any], key: str, etag_field: str, name: str
) -> ObjectEvent:
    bucket_name = _text(bucket, "name")
    if not _BUCKET.fullmatch(bucket_name):
        raise _invalid("the name of its bucket is not valid")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise _invalid(f"a key is longer than {MAX_KEY_BYTES:,} bytes")
    return ObjectEvent(
        bucket=bucket_name,
        key=key,
        size=_size(s3_object.get("size")),
        etag=_text(s3_object, etag_field, "").strip('"'),
        sequencer=_text(s3_object, "sequencer", ""),
        name=name,
    )


def _size(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value):  # Ceph sends text
        value = int(value)
    if value is None or (type(value) is int and 0 <= value <= MAX_SIZE):
        return value
    raise _invalid("a size is not a number of bytes")


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise _invalid(f"{name} is missing or not an object")
    return value


def _text(parent: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a text field; `default` if it is missing. Without a default, it must not be empty."""
    value = parent.get(name)
    if value is None and default is not None:
        return default
    if not is_text(value) or (not value and default is None):
        raise _invalid(f"{name} is missing or not text")
    return value


def is_text(value: object) -> TypeGuard[str]:
    """Return whether this is text that UTF-8 can hold: JSON can spell half a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _invalid(reason: str) -> PermanentError:
    return PermanentError(ErrorCode.INVALID_EVENT, f"The notification is invalid: {reason}.")
