"""Creates a cutout once per idempotency key, or again if the first one failed."""

import asyncio
import hashlib
import time
from typing import Literal

from fastapi.concurrency import run_in_threadpool

from contract.counters import counters
from contract.errors import REDIS_CODES, CutoutError, ErrorCode
from contract.metrics import API_REPLAYS
from contract.outcome import Status
from contract.quality import DEFAULT
from contract.rendition import PLAIN
from producer.dispatch.cutouts import new_cutout_id
from producer.web.context import Context
from producer.web.cutouts.create import create
from producer.web.cutouts.delete import delete
from producer.web.cutouts.records import IdempotencyRow
from producer.web.cutouts.request import NewCutout, Upload
from producer.web.idempotency_keys import Reservation
from producer.web.problems import RequestError

POLL_SECONDS = 0.05
FIRST_REQUEST_SECONDS = 2
"""How long a repeated request waits for the first one to create its cutout."""


async def create_once(
    context: Context, client: str, idempotency_key: str, new: NewCutout, upload: Upload | None
) -> str:
    """Create a cutout unless `client` has sent the same request before; return the cutout's ID.

    If the first one has failed, another is created: what made it fail may be over.

    Raises RequestError: `idempotency_conflict` if the key was used for another request,
    `not_ready` if the first request is still in progress; and what `create` raises.
    """
    # hashed: a client chooses its length and its characters
    key = hashlib.sha256(idempotency_key.encode()).hexdigest()
    digest = await run_in_threadpool(request_digest, new, upload)
    cutout_id = new_cutout_id()
    keys = context.idempotency_keys
    started = time.monotonic()
    while True:
        reservation = await run_in_threadpool(keys.reserve, client, key, digest, cutout_id)
        if reservation.digest != digest:
            raise RequestError(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                "The Idempotency-Key was already used for another request, which created"
                f" {reservation.cutout_id}.",
            )
        if reservation.cutout_id == cutout_id:
            if await run_in_threadpool(
                create_reserved, context, client, key, reservation, new, upload
            ):
                return cutout_id
            continue
        state = await run_in_threadpool(state_of, context, reservation)
        if state == "created":
            if not reservation.committed:  # its server may have died right after it was created
                await run_in_threadpool(keys.commit, client, key, reservation)
            counters.add(API_REPLAYS)
            return reservation.cutout_id
        if state in {"deleted", "failed"}:  # so the key is free again
            await run_in_threadpool(keys.release, client, key, reservation)
            continue
        if time.monotonic() - started > FIRST_REQUEST_SECONDS:
            raise RequestError(
                ErrorCode.NOT_READY,
                "The first request with this Idempotency-Key is still in progress.",
                1,
            )
        await asyncio.sleep(POLL_SECONDS)


def state_of(
    context: Context, reservation: Reservation
) -> Literal["created", "failed", "deleted", "in progress"]:
    """Return what became of the request that holds a reservation: of its cutout, if it has one."""
    ledger, cutout_id = context.ledger, reservation.cutout_id
    if ledger.batches.exists(cutout_id):
        outcome = ledger.cutouts.outcome(cutout_id)
        return "failed" if outcome and outcome.status is Status.FAILED else "created"
    return "deleted" if reservation.committed else "in progress"


def create_reserved(
    context: Context,
    client: str,
    key: str,
    reservation: Reservation,
    new: NewCutout,
    upload: Upload | None,
) -> bool:
    """Create the cutout of a reservation, then commit it. If that fails, release it.

    Returns False, and deletes the cutout again, if that took so long that the reservation expired
    and another request has taken the key since.
    """
    row = IdempotencyRow(client=client, key=key, digest=reservation.digest)
    try:
        spec = create(context, reservation.cutout_id, new, upload, row)
    except CutoutError as error:
        # without Redis it is unknown whether the cutout was registered: the reservation expires
        if error.code not in REDIS_CODES:
            context.idempotency_keys.release(client, key, reservation)
        raise
    committed = context.idempotency_keys.commit(client, key, reservation)
    if not committed:
        delete(context, spec)
    return committed


def request_digest(new: NewCutout, upload: Upload | None) -> str:
    """Return the SHA-256 of a request, by which a repeated request is recognised.

    Fields with their defaults are left out, so that a server of an older release computes the same
    digest.
    """
    exclude = {
        name for name, default in (
            ("rendition", PLAIN), ("quality", DEFAULT), ("recipe", None)
        )
        if getattr(new, name) == default
    }  # fmt: skip
    digest = hashlib.sha256(new.model_dump_json(exclude=exclude).encode())
    digest.update(b"\0" + (upload.data if upload else b""))
    return digest.hexdigest()
