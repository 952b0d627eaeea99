"""What each kind of storage says of a new object. None: the event is about something else.

S3:           https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
EventBridge:  https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
R2:           https://developers.cloudflare.com/r2/buckets/event-notifications/
Google Cloud: https://cloud.google.com/storage/docs/pubsub-notifications

Every function raises PermanentError (`invalid_event`).
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from producer.web.events.object_event import (
    ObjectEvent,
    invalid,
    object_event,
    object_field,
    text_field,
)

CREATED_ACTIONS = frozenset({"PutObject", "CopyObject", "CompleteMultipartUpload"})
"""R2's actions that make a new object."""
FINALIZED = "OBJECT_FINALIZE"
"""Google's type of the event of a new object."""


def creates(name: str) -> bool:
    """Return whether an event's name means a new object.

    `ObjectCreated:Put`, `Object Created` and `object.created` do.
    """
    return re.sub(r"[^a-z]", "", name.lower()).startswith("objectcreated")


def s3_record(record: Mapping[str, Any]) -> ObjectEvent | None:
    """Read one of the `Records` of S3, MinIO or Ceph."""
    name = text_field(record, "eventName").removeprefix("s3:")
    if not creates(name):
        return None
    s3 = object_field(record, "s3")
    s3_object = object_field(s3, "object")
    try:
        # form-encoded: a space is `+`
        key = unquote_plus(text_field(s3_object, "key"), errors="strict")
    except UnicodeDecodeError:
        raise invalid("a key is not UTF-8") from None
    return _event(object_field(s3, "bucket"), s3_object, key, "eTag", name)


def eventbridge(detail: Mapping[str, Any], name: str) -> ObjectEvent:
    """Read the `detail` of an event of EventBridge that creates an object."""
    s3_object = object_field(detail, "object")
    # not encoded: `+` is a plus sign
    key = text_field(s3_object, "key")
    return _event(object_field(detail, "bucket"), s3_object, key, "etag", name)


def r2(document: Mapping[str, Any]) -> ObjectEvent | None:
    """Read a message that R2 puts into a queue of Cloudflare."""
    action = text_field(document, "action")
    if action not in CREATED_ACTIONS:
        return None
    r2_object = object_field(document, "object")
    return object_event(
        text_field(document, "bucket"), text_field(r2_object, "key"), action,
        size=r2_object.get("size"), etag=text_field(r2_object, "eTag", ""),
        sequencer=text_field(document, "eventTime", ""),
    )  # fmt: skip


def google(message: Mapping[str, Any]) -> ObjectEvent | None:
    """Read the `message` that Pub/Sub pushes. Its attributes say everything."""
    attributes = object_field(message, "attributes")
    event_type = text_field(attributes, "eventType")
    if event_type != FINALIZED:
        return None
    return object_event(
        text_field(attributes, "bucketId"), text_field(attributes, "objectId"), event_type,
        sequencer=text_field(attributes, "objectGeneration", ""),
    )  # fmt: skip


def _event(
    bucket: Mapping[str, Any], s3_object: Mapping[str, Any], key: str, etag_field: str, name: str
) -> ObjectEvent:
    return object_event(
        text_field(bucket, "name"), key, name,
        size=s3_object.get("size"), etag=text_field(s3_object, etag_field, ""),
        sequencer=text_field(s3_object, "sequencer", ""),
    )  # fmt: skip
