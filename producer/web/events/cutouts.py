"""Creates a cutout of each announced object: once, or again if it failed before."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from contract.errors import CutoutError, ErrorCode
from producer.dispatch.cutouts import new_cutout_id
from producer.web.context import Context
from producer.web.cutouts.idempotent import create_reserved, state_of
from producer.web.cutouts.request import NewCutout
from producer.web.events.notification import RefusedRecord
from producer.web.events.object_event import ObjectEvent
from producer.web.events.rules import Rule, rule_for
from producer.web.problems import RequestError

CLIENT = "events"
"""The scope of the idempotency keys of announced objects."""
EVENT_FAULTS = frozenset(
    {ErrorCode.UNSAFE_KEY, ErrorCode.INVALID_LOCATION, ErrorCode.OVERLAPPING_LOCATIONS}
)
"""Codes of an event that would end the same way if it were delivered again."""
POSTPONED = frozenset({ErrorCode.TOO_MANY_REQUESTS, ErrorCode.QUEUE_FULL})
"""Codes of an event that must be delivered again, while others may go through."""
IN_PROGRESS_RETRY_SECONDS = 5
"""The Retry-After of an event whose first delivery is still being processed."""


@dataclass
class Created:
    """What became of the events of a notification."""

    cutout_ids: list[str] = field(default_factory=list)
    ignored: int = 0
    """events that match no rule, or were received before"""
    refused: list[RefusedRecord] = field(default_factory=list)


def create_cutouts(
    context: Context, events: Sequence[ObjectEvent], notification_digest: str
) -> Created:
    """Create a cutout for each event that matches a rule and was not received before.

    An event that was received before is ignored unless its cutout has failed: what is delivered
    again after an outage is processed. One that cannot be created stops no other.
    `notification_digest` identifies the notification: it distinguishes uploads of the same key if
    the events have neither sequencer nor ETag.

    Raises, after the others were created, RequestError (`too_many_requests`, `queue_full`) if an
    event must be delivered again, and at once what else `cutouts.create.create` raises: then the
    server or its storage is at fault, not the event.
    """
    created, postponed = Created(), None
    for event in events:
        location = f"s3://{event.bucket}/{event.key}"
        rule = rule_for(context.event_rules, event)
        # the server's own store may be in a bucket that announces its objects
        if rule is None or location.startswith(f"{context.store}/"):
            created.ignored += 1
            continue
        try:
            cutout_id = _create_once(context, event, rule, notification_digest)
        except CutoutError as error:
            if error.code in EVENT_FAULTS:
                refused = RefusedRecord(event.record, location, error.code, error.message)
                created.refused.append(refused)
            elif error.code in POSTPONED:
                postponed = postponed or error
            else:
                raise
        else:
            created.cutout_ids += [cutout_id] if cutout_id else []
            created.ignored += cutout_id is None
    if postponed:
        raise postponed
    return created


def _create_once(
    context: Context, event: ObjectEvent, rule: Rule, notification_digest: str
) -> str | None:
    """Return the new cutout's ID, or None if the event was received before and has not failed."""
    cutout_id, output = new_cutout_id(), rule.output(event.key)
    identity = [event.bucket, event.key, event.sequencer or event.etag or notification_digest]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    keys = context.idempotency_keys
    reservation = keys.reserve(CLIENT, digest, digest, cutout_id)
    if reservation.cutout_id != cutout_id and state_of(context, reservation) == "failed":
        keys.release(CLIENT, digest, reservation)
        reservation = keys.reserve(CLIENT, digest, digest, cutout_id)
    if reservation.cutout_id != cutout_id:
        state = state_of(context, reservation)
        if state == "in progress":
            raise _in_progress()  # that server may have died: let the sender deliver again
        if state == "created" and not reservation.committed:  # it may have died right afterwards
            keys.commit(CLIENT, digest, reservation)
        return None
    new = NewCutout(
        source=f"s3://{event.bucket}/{event.key}", destination=output,
        model=rule.model, recipe=rule.document_without_keys,
    )  # fmt: skip
    if not create_reserved(context, CLIENT, digest, reservation, new, None):
        raise _in_progress()
    return cutout_id


def _in_progress() -> RequestError:
    return RequestError(
        ErrorCode.TOO_MANY_REQUESTS,
        "Another delivery of this event is in progress.",
        IN_PROGRESS_RETRY_SECONDS,
    )
