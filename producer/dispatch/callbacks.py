"""Callbacks of batches: what is sent, and the thread of a dispatcher that sends it.

Every dispatcher sends, also one that stands by; each due callback is taken by one of them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from contract import names
from contract.errors import CutoutError, ErrorCode
from contract.ledger import Ledger
from contract.ledger.redis_ledger import RedisLedger
from contract.storage import batch_files
from producer.batches.resource import batch_resource
from producer.callbacks.delivery import Delivery, run
from producer.callbacks.schedule import CallbackSchedule


@contextmanager
def delivering_callbacks(ledger: RedisLedger) -> Iterator[None]:
    """Deliver callbacks in a thread. At the end, wait for the attempts that have begun."""
    callbacks = CallbackSchedule(ledger.connection, names.BATCH_CALLBACKS)
    stop = threading.Event()
    load = partial(load_delivery, ledger)
    thread = threading.Thread(target=run, args=(callbacks, load, stop.is_set), name="callbacks")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def load_delivery(ledger: Ledger, callback: str) -> Delivery | None:
    """Return what to deliver for a callback that closing a batch made due (`BATCH:EPOCH`).

    None if the batch was deleted, or reopened: then its next end has a callback of its own.
    """
    batch = callback.rpartition(":")[0]
    try:
        progress = ledger.batches.progress(batch)
        fields = batch_files.read_private_fields(batch, progress.spec.destination)
    except CutoutError as error:
        if error.code in {ErrorCode.OBJECT_MISSING, ErrorCode.BATCH_UNKNOWN}:
            return None
        raise
    if progress.closed is None or fields.callback_url is None:
        return None
    body = batch_resource(progress).model_dump_json().encode()
    return Delivery(fields.callback_url, body, progress.closed)
