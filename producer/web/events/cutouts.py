"""Creates a cutout of each announced object: once, or again if it failed before."""

import hashlib
import json
from collections.abc import Sequence

from contract.errors import ErrorCode
from producer.dispatch.cutouts import new_cutout_id
from producer.web.context import Context
from producer.web.cutouts.idempotent import create_reserved, state_of
from producer.web.cutouts.request import NewCutout
from producer.web.events.notification import ObjectEvent
from producer.web.events.rules import Rule, rule_for
from producer.web.problems import RequestError

CLIENT = "events"
"""The scope of the idempotency keys of announced objects."""
IN_PROGRESS_RETRY_SECONDS = 5
"""The Retry-After of an event whose first delivery is still being processed."""


def create_cutouts(
    context: Context, events: Sequence[ObjectEvent], notification_digest: str
) -> tuple[list[str], int]:
    """Return the IDs of the cutouts created, and the number of events ignored.

    An event is ignored if it matches no rule, or was received before and its cutout has not failed:
    what is delivered again after an outage is processed. `notification_digest`
    identifies the notification: it distinguishes uploads of the same key if the events have neither
    sequencer nor ETag. Raises RequestError (`too_many_requests`) if another delivery of an event is
    in progress, and what `cutouts.create.create` raises; the sender then delivers again.
    """
    cutout_ids = []
    for event in events:
        rule = rule_for(context.event_rules, event)
        # the server's own store may be in a bucket that announces its objects
        own = f"s3://{event.bucket}/{event.key}".startswith(f"{context.store}/")
        if rule is None or own:
            continue
        if cutout_id := _create_once(context, event, rule, notification_digest):
            cutout_ids.append(cutout_id)
    return cutout_ids, len(events) - len(cutout_ids)


def _create_once(
    context: Context, event: ObjectEvent, rule: Rule, notification_digest: str
) -> str | None:
    """Return the new cutout's ID, or None if the event was received before and has not failed."""
    cutout_id = new_cutout_id()
    identity = [event.bucket, event.key, event.sequencer or event.etag or notification_digest]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    keys = context.idempotency_keys
    reservation = keys.reserve(CLIENT, digest, digest, cutout_id)
    if reservation.cutout_id != cutout_id and state_of(context, reservation) == "failed":
        keys.release(CLIENT, digest, reservation)
        reservation = keys.reserve(CLIENT, digest, digest, cutout_id)
    if reservation.cutout_id != cutout_id:
        if state_of(context, reservation) == "in progress":
            raise _in_progress()  # that server may have died: let the sender deliver again
        return None
    new = NewCutout(
        source=f"s3://{event.bucket}/{event.key}", destination=rule.output(event.key),
        model=rule.model, rendition=rule.rendition, quality=rule.quality,
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
