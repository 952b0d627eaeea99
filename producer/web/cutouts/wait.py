"""Waits for a cutout to end."""

import asyncio
import re
import time
from datetime import UTC, datetime

from fastapi.concurrency import run_in_threadpool

from contract.errors import RetryableError
from producer.web.context import Context
from producer.web.cutouts.resource import Cutout, cutout_resource, find

MAX_WAIT_SECONDS = 60
"""Longest wait that a client can request with `Prefer: wait=N`."""
MIN_POLL_SECONDS = 0.05
MAX_POLL_SECONDS = 0.5
"""A waiting request reads the ledger at intervals that grow from MIN_ to MAX_POLL_SECONDS."""
MAX_OUTAGE_SECONDS = 10
"""A waiting request outlasts a Redis or a storage that fails for this long, as in a failover."""
NO_WORKER_SECONDS = 5
"""A cutout that is queued for longer says so if no worker for its model is running."""
DIGITS = re.compile("[0-9]{1,9}")


def preferred_wait(prefer: str | None) -> float:
    """Return the seconds of a header `Prefer: wait=N` (RFC 7240), at most MAX_WAIT_SECONDS."""
    for preference in (prefer or "").split(","):
        name, _, value = preference.strip().partition("=")
        if name.lower() == "wait" and (digits := DIGITS.fullmatch(value.strip())):
            return min(int(digits[0]), MAX_WAIT_SECONDS)
    return 0


async def wait_for_end(context: Context, cutout_id: str, seconds: float) -> Cutout:
    """Return a cutout once it has ended, or as it is after `seconds`.

    Waits in the event loop: threads are few, and none may sit idle.

    Raises RequestError (`not_found`), and RetryableError if Redis or the storage fails after
    `seconds`, or for longer than MAX_OUTAGE_SECONDS.
    """
    started = last_read = time.monotonic()
    while True:
        try:
            cutout = cutout_resource(*await run_in_threadpool(find, context, cutout_id))
            last_read = time.monotonic()
            if cutout.ended:
                return cutout
            if last_read - started >= seconds:
                return await run_in_threadpool(_with_worker_hint, context, cutout)
        except RetryableError:
            now = time.monotonic()
            if now - started >= seconds or now - last_read >= MAX_OUTAGE_SECONDS:
                raise
        waited = time.monotonic() - started
        interval = min(max(MIN_POLL_SECONDS, waited / 20), MAX_POLL_SECONDS)
        await asyncio.sleep(min(interval, seconds - waited))


def _with_worker_hint(context: Context, cutout: Cutout) -> Cutout:
    """Add a message to a queued cutout if no worker for its model is running."""
    age = datetime.now(UTC) - cutout.created
    if cutout.status != "queued" or age.total_seconds() < NO_WORKER_SECONDS:
        return cutout
    if cutout.model in context.models_served():
        return cutout
    return cutout.model_copy(
        update={
            "message": f"No worker serves {cutout.model}.",
            "next_step": f"Start a worker with CUTOUT_MODEL={cutout.model}.",
        }
    )
