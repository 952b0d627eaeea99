"""Parses notifications of new objects. Pure: it fetches nothing and authenticates nothing.

Accepted are the notifications of S3 (MinIO and Ceph send the same) and of EventBridge, either of
them inside SNS, SQS or CloudEvents 1.0; messages of Cloudflare R2; and those of Google Cloud
Storage as Pub/Sub pushes them. `senders.py` reads what is inside. The sender is verified elsewhere:
`producer/web/events/sns.py` for SNS, `producer/callbacks/signatures.py` for signed requests.

CloudEvents: https://github.com/cloudevents/spec/blob/main/cloudevents/adapters/aws-s3.md
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from contract.errors import ErrorCode, PermanentError
from producer.web.events import senders
from producer.web.events.object_event import ObjectEvent, invalid, object_field, text_field

SNS_TYPES = frozenset({"Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"})
CREATED_REASONS = frozenset({"PutObject", "POST Object", "CopyObject", "CompleteMultipartUpload"})
"""EventBridge's reasons for a new object. They count if the event has no name of its own."""
SQS = "aws:sqs"

_S3_TYPE = re.compile(r"(?:com\.amazon(?:aws)?|aws)\.s3(?:[.:](.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A member of a notification that cannot be processed, also not if it is delivered again."""

    record: int
    """its position in the notification, from 1"""
    location: str
    """`s3://bucket/key`; empty if the record does not name one"""
    code: ErrorCode
    message: str


@dataclass
class Notification:
    """The members of a notification: new objects, and what could not be read."""

    events: list[ObjectEvent] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    records: int = 0
    """members so far, events of other kinds included"""

    def add(self, event: ObjectEvent | None) -> None:
        """Add the only event of a notification; None: it is about something else."""
        self.records += 1
        if event:
            self.events.append(replace(event, record=self.records))

    def add_records(self, rows: Iterable[object]) -> None:
        """Add the records of S3, or of SQS with one message each. A bad one stops no other."""
        for row in rows:
            before = self.records
            try:
                if not isinstance(row, dict):
                    raise invalid("a record is not an object")
                if row.get("eventSource") == SQS:
                    _add_aws(self, _unwrapped(read(text_field(row, "body").encode())), nested=True)
                else:
                    self.add(senders.s3_record(row))
            except PermanentError as error:
                self.records = max(self.records, before + 1)
                self.refused.append(RefusedRecord(self.records, "", error.code, error.message))


def read(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object. Raises PermanentError (`invalid_event`)."""
    try:
        document = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise invalid("it is not JSON") from None
    if not isinstance(document, dict):
        raise invalid("it is not a JSON object")
    return document


def is_sns(document: Mapping[str, Any]) -> bool:
    """Return whether this is an SNS message, which must be verified before it is parsed."""
    return "TopicArn" in document and "Type" in document


def parse(document: Mapping[str, Any], headers: Mapping[str, str]) -> Notification:
    """Return the new objects that a notification announces. Other events are left out.

    A record among several that cannot be read is refused by itself. Raises PermanentError
    (`invalid_event`) if nothing can be read, and nothing else, whatever the document holds.
    """
    notification = Notification()
    if is_sns(document):
        if _sns_type(document) == "Notification":
            _add_aws(notification, _unwrapped(document))
        return notification
    lower = {name.lower(): value for name, value in headers.items()}
    content_type = lower.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/cloudevents+json" or "specversion" in document:
        _add_cloud_event(notification, document, _cloud_event_data(document))
    elif content_type.startswith("application/cloudevents"):
        raise invalid("CloudEvents must be sent one per request, as JSON")
    elif "ce-specversion" in lower:
        attributes = {name[3:]: value for name, value in lower.items() if name.startswith("ce-")}
        _add_cloud_event(notification, attributes, document)
    elif "message" in document:
        notification.add(senders.google(object_field(document, "message")))
    elif "action" in document:
        notification.add(senders.r2(document))
    else:
        _add_aws(notification, document)
    return notification


def _sns_type(document: Mapping[str, Any]) -> str:
    message_type = document["Type"]
    if not isinstance(message_type, str) or message_type not in SNS_TYPES:
        raise invalid("the Type of the SNS message is unknown")
    return message_type


def _unwrapped(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is inside an SNS message, or the document if it is none.

    Inside SQS it needs no verification: who sent the outer document is known.
    """
    if not is_sns(document):
        return document
    _sns_type(document)
    return read(text_field(document, "Message").encode())


def _add_aws(
    notification: Notification, document: Mapping[str, Any], *, nested: bool = False
) -> None:
    """Parse a notification of S3 or EventBridge. `nested`: inside a message of SQS."""
    if "Records" in document:
        records = document["Records"]
        if not isinstance(records, list):
            raise invalid("Records is not a list")
        if nested and any(
            isinstance(row, dict) and row.get("eventSource") == SQS for row in records
        ):
            raise invalid("a message of SQS holds messages of SQS")
        notification.add_records(records)
    elif "detail-type" in document:
        if document.get("source") != "aws.s3":
            raise invalid("its source is not aws.s3")
        name = text_field(document, "detail-type")
        created = senders.creates(name)
        notification.add(
            senders.eventbridge(object_field(document, "detail"), name) if created else None
        )
    elif document.get("Event") != "s3:TestEvent":
        raise invalid("its format is unknown")


def _add_cloud_event(
    notification: Notification, attributes: Mapping[str, Any], data: Mapping[str, Any]
) -> None:
    if attributes.get("specversion") != "1.0":
        raise invalid("its specversion is not 1.0")
    event_type = _S3_TYPE.fullmatch(text_field(attributes, "type"))
    if event_type is None:
        raise invalid("its type is not a type of S3")
    if "s3" in data:
        notification.add(senders.s3_record(data))
    elif "object" in data:
        name = event_type[1] or text_field(data, "reason")
        created = senders.creates(name) or name in CREATED_REASONS
        notification.add(senders.eventbridge(data, name) if created else None)
    else:
        _add_aws(notification, data)


def _cloud_event_data(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "data_base64" not in document:
        return object_field(document, "data")
    try:
        return read(base64.b64decode(text_field(document, "data_base64"), validate=True))
    except ValueError:
        raise invalid("data_base64 is not base64") from None


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
