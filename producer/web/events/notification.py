"""What announces new objects, read into one shape. Pure: nothing is fetched, nothing believed.

Known are S3's notifications (MinIO and Ceph send the same), EventBridge's, either of them inside
an SNS envelope, and CloudEvents 1.0 around S3's. Who sent it is verified before by others:
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

MOST_BYTES = 64 * 1024
"""One object's notification takes one to five kilobytes, in an envelope of SNS too."""
KEY_BYTES = 1024
"""S3's own limit."""
LARGEST = 2**63 - 1
SNS_TYPES = frozenset({"Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"})

CREATED_BY = frozenset({"PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"})
"""EventBridge's reasons, where nothing else of an event says what became of the object."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_S3_TYPE = re.compile(r"(?:com\.amazon(?:aws)?|aws)\.s3(?:[.:](.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    bucket: str
    key: str
    """as the store spells it, not encoded; not checked either (`names.check_key`)"""
    size: int | None
    etag: str
    """without quotes; empty where it is not told"""
    sequencer: str
    """orders the events of one key, as text of one length; empty where it is not told"""
    name: str
    """as told, without `s3:`: `ObjectCreated:Put`, `Object Created`"""


def read(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a request. Raises PermanentError (`invalid_event`)."""
    if len(body) > MOST_BYTES:
        raise _refused(f"it is longer than {MOST_BYTES:,} bytes")
    try:
        document = json.loads(body.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise _refused("it is no JSON") from None
    if not isinstance(document, dict):
        raise _refused("it is no JSON object")
    return document


def is_sns(document: Mapping[str, Any]) -> bool:
    """Whether this is an envelope of SNS, which has to be verified before it is parsed."""
    return "TopicArn" in document and "Type" in document


def parse(document: Mapping[str, Any], headers: Mapping[str, str]) -> list[ObjectEvent]:
    """Return the objects that a request says were created; other events are passed over.

    Raises PermanentError (`invalid_event`), whatever the document holds.
    """
    if is_sns(document):
        kind = document["Type"]
        if not isinstance(kind, str) or kind not in SNS_TYPES:
            raise _refused("SNS sends no such Type")
        return _plain(read(_text(document, "Message").encode())) if kind == "Notification" else []
    rows = {name.lower(): value for name, value in headers.items()}
    kind = rows.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/cloudevents+json" or "specversion" in document:
        return _cloud_event(document, _data(document))
    if kind.startswith("application/cloudevents"):
        raise _refused("CloudEvents are taken one at a time, as JSON")
    if "ce-specversion" in rows:
        attributes = {name[3:]: value for name, value in rows.items() if name.startswith("ce-")}
        return _cloud_event(attributes, document)
    return _plain(document)


def _plain(document: Mapping[str, Any]) -> list[ObjectEvent]:
    """Parse what S3 or EventBridge sent."""
    if "Records" in document:
        records = document["Records"]
        if not isinstance(records, list) or not all(isinstance(row, dict) for row in records):
            raise _refused("its Records are no list of objects")
        return [event for row in records for event in _s3_record(row)]
    if "detail-type" in document:
        if document.get("source") != "aws.s3":
            raise _refused("its source is not aws.s3")
        name = _text(document, "detail-type")
        return [_detail(_object(document, "detail"), name)] if _creates(name) else []
    if document.get("Event") == "s3:TestEvent":
        return []
    raise _refused("it is none that we know")


def _cloud_event(attributes: Mapping[str, Any], data: Mapping[str, Any]) -> list[ObjectEvent]:
    if attributes.get("specversion") != "1.0":
        raise _refused("it is not of CloudEvents 1.0")
    kind = _S3_TYPE.fullmatch(_text(attributes, "type"))
    if kind is None:
        raise _refused("its type is none of S3's")
    if "s3" in data:
        return _s3_record(data)
    if "object" in data:
        name = kind[1] or _text(data, "reason")
        return [_detail(data, name)] if _creates(name) or name in CREATED_BY else []
    return _plain(data)


def _data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "data_base64" not in document:
        return _object(document, "data")
    try:
        return read(base64.b64decode(_text(document, "data_base64"), validate=True))
    except ValueError:
        raise _refused("its data_base64 is no base64") from None


def _creates(name: str) -> bool:
    """`ObjectCreated:Put`, `Object Created`, `object.created`: made, not removed or tagged."""
    return re.sub(r"[^a-z]", "", name.lower()).startswith("objectcreated")


def _s3_record(row: Mapping[str, Any]) -> list[ObjectEvent]:
    name = _text(row, "eventName").removeprefix("s3:")
    if not _creates(name):
        return []
    place = _object(row, "s3")
    thing = _object(place, "object")
    try:
        # form-encoded: a space is `+`
        key = unquote_plus(_text(thing, "key"), errors="strict")
    except UnicodeDecodeError:
        raise _refused("a key is not UTF-8") from None
    return [_event(_object(place, "bucket"), thing, key, "eTag", name)]


def _detail(detail: Mapping[str, Any], name: str) -> ObjectEvent:
    thing = _object(detail, "object")
    # EventBridge's keys are not encoded: a `+` is a plus
    return _event(_object(detail, "bucket"), thing, _text(thing, "key"), "etag", name)


def _event(
    bucket: Mapping[str, Any], thing: Mapping[str, Any], key: str, etag: str, name: str
) -> ObjectEvent:
    place = _text(bucket, "name")
    if not _BUCKET.fullmatch(place):
        raise _refused("a bucket has no such name")
    if len(key.encode()) > KEY_BYTES:
        raise _refused(f"a key is longer than {KEY_BYTES:,} bytes")
    return ObjectEvent(
        bucket=place,
        key=key,
        size=_size(thing.get("size")),
        etag=_text(thing, etag, "").strip('"'),
        sequencer=_text(thing, "sequencer", ""),
        name=name,
    )


def _size(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value):  # Ceph's
        value = int(value)
    if value is None or (type(value) is int and 0 <= value <= LARGEST):
        return value
    raise _refused("a size is no number of bytes")


def _object(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    if not isinstance(value, dict):
        raise _refused(f"its {name} is no object")
    return value


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = row.get(name)
    if value is None and default is not None:
        return default
    if not is_text(value) or (not value and default is None):
        raise _refused(f"its {name} is no text")
    return value


def is_text(value: object) -> TypeGuard[str]:
    """Whether this is text that UTF-8 can hold: JSON can spell half of a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _refused(why: str) -> PermanentError:
    return PermanentError(ErrorCode.INVALID_EVENT, f"The event was not understood: {why}.")
