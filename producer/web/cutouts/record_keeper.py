"""Keeps the records of cutouts in step with Redis, in a thread of every server.

Each round restores the cutouts that Redis has lost, and moves the records of those that have ended.
Of several servers with one store, one works at a time. A round reads the list of open records: one
request to the storage per thousand cutouts that are queued.
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import structlog

from contract.batch import BatchSpec, Progress
from contract.errors import CutoutError, ErrorCode
from contract.ledger.connection import translated
from contract.ledger.unreadable import log_unreadable
from contract.outcome import Outcome
from contract.stored import is_newer_release
from producer.web.context import Context
from producer.web.cutouts.records import RECORD_SECONDS, CutoutRecord, age_seconds
from producer.web.cutouts.restore import restore

log = structlog.get_logger(__name__)

ROUND_SECONDS = 10
"""Shortest time between two rounds."""
GRACE_SECONDS = 10
"""Age from which a cutout that Redis does not know counts as lost: a younger one may be about to be
registered. One that a client asks for is restored at once."""
SWEEP_SECONDS = 3600
"""Time between two deletions of old records."""
THREADS = 8
"""Records worked on at a time."""


def run(context: Context, stop: threading.Event) -> None:
    """Work until `stop` is set."""
    with ThreadPoolExecutor(THREADS, "records") as pool:
        while not stop.is_set():
            with _logged("records"):
                if _take_turn(context, "round", ROUND_SECONDS):
                    keep_one = partial(_keep, context, stop)
                    for _ in pool.map(keep_one, context.records.open_ids()):
                        pass
                if _take_turn(context, "sweep", SWEEP_SECONDS):
                    delete_old(context)
            stop.wait(ROUND_SECONDS / 2)


@contextmanager
def _logged(cutout_id: str) -> Iterator[None]:
    """Log an error, and go on: the next round tries again."""
    try:
        yield
    except CutoutError as error:
        if is_newer_release(error):
            log_unreadable(cutout_id, error)
        else:
            log.warning("cutout record waits", batch=cutout_id, reason=str(error))
    except Exception:
        log.exception("unexpected error", batch=cutout_id)


def _take_turn(context: Context, task: str, seconds: int) -> bool:
    """Return True to one server in `seconds`, of those with the same store."""
    store = hashlib.sha256(context.store.encode()).hexdigest()[:16]
    with translated():
        redis = context.ledger.connection.client
        return bool(redis.set(f"cutout:records:{store}:{task}", "1", nx=True, ex=seconds))


def _keep(context: Context, stop: threading.Event, cutout_id: str) -> None:
    if stop.is_set():  # a server that stops does not finish a long round
        return
    with _logged(cutout_id):
        keep(context, cutout_id)


def keep(context: Context, cutout_id: str) -> None:
    """Restore the cutout of an open record if it was lost; move the record if it has ended."""
    ledger = context.ledger
    try:
        progress = ledger.batches.progress(cutout_id)
    except CutoutError as error:
        if error.code is not ErrorCode.BATCH_UNKNOWN:
            raise
        _restore_lost(context, cutout_id)
        return
    outcome = ledger.cutouts.outcome(cutout_id)
    if outcome and _has_ended(context, progress):
        _move(context, progress.spec, outcome)


def _has_ended(context: Context, progress: Progress) -> bool:
    # the callback is scheduled before the cutout is closed
    return progress.state == "closed" and not context.callbacks.is_pending(progress.spec.id)


def _move(context: Context, spec: BatchSpec, outcome: Outcome) -> None:
    context.records.put(CutoutRecord(spec=spec, outcome=outcome))
    if context.ledger.batches.was_deleted(spec.id):  # by a client, since it was read
        context.records.delete(spec.id)
    else:
        context.records.delete_open(spec.id)


def _restore_lost(context: Context, cutout_id: str) -> None:
    age = age_seconds(cutout_id, time.time())
    if age < GRACE_SECONDS or restore(context, cutout_id):
        return
    if age > RECORD_SECONDS:
        log.error("cutout record deleted", batch=cutout_id, reason="its photograph is not stored")
        context.records.delete(cutout_id)


def delete_old(context: Context) -> None:
    """Delete the records of cutouts that were created more than RECORD_SECONDS ago and ended."""
    now = time.time()
    for cutout_id in context.records.ended_ids():
        if age_seconds(cutout_id, now) < RECORD_SECONDS:
            return
        context.records.delete(cutout_id)
