"""Restores a cutout that Redis has lost, from its record."""

import time

import structlog

from producer.dispatch.cutouts import KEPT_SECONDS
from producer.web.context import Context
from producer.web.cutouts.private_fields import private_fields_key
from producer.web.cutouts.records import CutoutRecord, age_seconds
from producer.web.idempotency_keys import COMMITTED_SECONDS, Reservation

log = structlog.get_logger(__name__)


def restore(context: Context, cutout_id: str) -> bool:
    """Register a cutout again, with its outcome if it has ended, and its idempotency key.

    One that has not ended is published by the dispatcher; a worker that finds the output settles it
    without processing the image. Returns False if there is no complete record of it, if it was
    deleted, or if another process was faster. Raises PermanentError (`newer_release`).
    """
    record = context.records.find(cutout_id)
    if record is None or not _is_complete(context, record):
        return False
    if not context.ledger.cutouts.register(record.spec, record.outcome, KEPT_SECONDS):
        return False
    row, seconds = record.idempotency, COMMITTED_SECONDS - age_seconds(cutout_id, time.time())
    if row and seconds >= 1:
        reservation = Reservation(row.digest, cutout_id, committed=True)
        context.idempotency_keys.commit(row.client, row.key, reservation, int(seconds))
    log.warning("cutout restored", batch=cutout_id, ended=record.outcome is not None)
    return True


def _is_complete(context: Context, record: CutoutRecord) -> bool:
    """Return whether every object of an open cutout is stored, and not just its record.

    They are written at the same time: the server may have died between them, or may be at it.
    """
    spec, cutout = record.spec, record.spec.cutout
    if record.outcome or cutout is None:
        return record.outcome is not None
    keys = {cutout.photograph.key} if spec.source == context.store else set()
    if cutout.has_callback:
        keys.add(private_fields_key(spec.id))
    if cutout.backdrop:
        keys.add(cutout.backdrop.key)
    return all(context.open_store().head(key) for key in keys)
