"""CutoutSpec images behind the API: submitted once, found again, waited for."""

import asyncio
import hashlib
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Literal

from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from contract import names
from contract.batch import Progress
from contract.cutout import CutoutSpec, PrivateFields
from contract.errors import NEXT_STEP, CutoutError, ErrorCode, RetryableError
from contract.job import ManifestLine
from contract.outcome import Outcome, Status
from contract.recipe import recipe_for
from contract.rendition import PLAIN
from contract.safe_http.policy import resolve_target
from contract.storage import canonical_location
from producer.dispatch import cutouts
from producer.web.context import Backend
from producer.web.cutouts.request import NewCutout, Upload
from producer.web.idempotency_keys import Reservation
from producer.web.problems import RequestError

POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.5
UNDER_WAY_SECONDS = 2
"""How long a repeated request waits for the first one with its idempotency key to be known."""
RESOLVE_SECONDS = 0.5
UNSERVED_SECONDS = 5
"""After which it is told that an image waits for workers that are not there."""
UPLOADS, RECORDS = "uploads", "records"
"""Folders of the server's own store."""


class Cutout(BaseModel):
    """A single image and how far it is."""

    id: str
    status: Literal["queued", "working", "done", "failed"]
    created: datetime
    model: str
    code: ErrorCode | None = None
    message: str = ""
    next_step: str = ""
    attempts: int = 0
    width: int | None = None
    height: int | None = None
    foreground: float | None = Field(None, description="mean alpha, 0..1, to about 0.001")
    milliseconds: dict[str, int] = Field(default_factory=dict, description="by stage")
    output: str | None = Field(None, description="where the cut-out lies, once it is there")
    image: str | None = Field(None, description="where this server gives it out")


def record_key(identity: str) -> str:
    return f"{RECORDS}/{identity}.json"


def cutout_of(now: Progress, outcome: Outcome | None) -> Cutout:
    spec = now.spec
    made = Cutout(
        id=spec.id, status="working" if now.claimed else "queued", model=spec.recipe.model,
        created=datetime.fromtimestamp(spec.created, UTC),
    )  # fmt: skip
    if outcome is None:
        return made
    failed = outcome.status is Status.FAILED
    address = f"{spec.destination}/{spec.cutout.destination_key}" if spec.cutout else ""
    return made.model_copy(
        update={
            "status": "failed" if failed else "done",
            "next_step": _next_step(outcome),
            "output": None if failed else address,
            "image": None if failed else f"/v1/cutouts/{spec.id}/image",
            **outcome.model_dump(
                include={"code", "message", "attempts", "width", "height", "foreground",
                         "milliseconds"}
            ),
        }
    )  # fmt: skip


def _next_step(outcome: Outcome) -> str:
    if outcome.code in {ErrorCode.EXHAUSTED, ErrorCode.CANCELLED}:
        return "Mend the cause, then ask for it anew."  # there is no batch to retry
    return NEXT_STEP[outcome.code] if outcome.code else ""


def find(backend: Backend, identity: str) -> tuple[Progress, Outcome | None]:
    """Return a single image. Raises RequestError (`not_found`)."""
    missing = RequestError(ErrorCode.NOT_FOUND, f"There is no cut-out {identity!r}.")
    if not names.is_batch_id(identity):
        raise missing
    try:
        now = backend.ledger.batches.progress(identity)
    except CutoutError as error:
        raise missing if error.code is ErrorCode.BATCH_UNKNOWN else error from None
    if now.spec.cutout is None:
        raise missing
    return now, backend.ledger.batches.cutout_outcome(identity) if now.settled else None


async def waited_for(backend: Backend, identity: str, seconds: float) -> Cutout:
    """Return a cut-out once it has ended, or as it is when the time is over.

    Threads are few: none of them waits.
    """
    began = time.monotonic()
    while True:
        found = cutout_of(*await run_in_threadpool(find, backend, identity))
        waited = time.monotonic() - began
        if found.status in {"done", "failed"}:
            return found
        if waited >= seconds:
            return await run_in_threadpool(_with_hint, backend, found)
        pause = min(max(POLL_SECONDS, waited / 20), LONGEST_POLL_SECONDS, seconds - waited)
        await asyncio.sleep(pause)


def _with_hint(backend: Backend, found: Cutout) -> Cutout:
    """Say of an image that waits where there is nobody to wait for."""
    waited = datetime.now(UTC) - found.created
    if found.status != "queued" or waited.total_seconds() < UNSERVED_SECONDS:
        return found
    if found.model in backend.served():
        return found
    return found.model_copy(
        update={
            "message": f"No worker serves {found.model}.",
            "next_step": "Start a worker for it.",
        }
    )


def placed(location: str) -> tuple[str, str]:
    """Split s3://bucket/a/b.jpg into the store s3://bucket/a and the key b.jpg."""
    folder, _, key = location.rpartition("/")
    if not location.startswith("s3://") or folder in {"s3:", "s3:/"} or not key:
        raise RequestError(
            ErrorCode.INVALID_LOCATION, "A location is s3://bucket/key; sources also https://."
        )
    store = canonical_location(folder)
    names.check_key(location.removeprefix("s3://"))  # all of it: some stores are folders
    return store, key


async def once(
    backend: Backend, name: str, place: str, new: NewCutout, upload: Upload | None
) -> str:
    """Submit an image unless that was done before by the same idempotency key; return its id."""
    digest = await run_in_threadpool(digest_of, new, upload)
    identity = cutouts.new_cutout_id()
    began = time.monotonic()
    while True:
        first = await run_in_threadpool(
            backend.idempotency_keys.reserve, name, place, digest, identity
        )
        if first.digest != digest:
            raise RequestError(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                f"The Idempotency-Key was used for another request, {first.cutout_id}.",
            )
        if first.cutout_id == identity:
            await run_in_threadpool(_submit_first, backend, name, place, first, new, upload)
            return identity
        if await run_in_threadpool(backend.ledger.batches.exists, first.cutout_id):
            return first.cutout_id
        if first.committed:  # and deleted since
            await run_in_threadpool(backend.idempotency_keys.release, name, place, first)
            continue
        if time.monotonic() - began > UNDER_WAY_SECONDS:
            raise RequestError(
                ErrorCode.NOT_READY, "The first request with this Idempotency-Key is under way.", 1
            )
        await asyncio.sleep(POLL_SECONDS)


def digest_of(new: NewCutout, upload: Upload | None) -> str:
    # a plain one is left out, as by servers that know no renditions: releases may be mixed
    plain = {"rendition"} if new.rendition == PLAIN else None
    digest = hashlib.sha256(new.model_dump_json(exclude=plain).encode())
    digest.update(b"\0" + (upload.data if upload else b""))
    return digest.hexdigest()


def _submit_first(
    backend: Backend,
    name: str,
    place: str,
    first: Reservation,
    new: NewCutout,
    upload: Upload | None,
) -> None:
    try:
        submit(backend, first.cutout_id, new, upload)
    except CutoutError as error:
        # where Redis went away, nobody knows whether the image was made known
        if error.code is not ErrorCode.REDIS_UNAVAILABLE:
            backend.idempotency_keys.release(name, place, first)
        raise
    backend.idempotency_keys.commit(name, place, first)


def submit(backend: Backend, identity: str, new: NewCutout, upload: Upload | None) -> None:
    """Store what has to be kept, make the image known and announce it, in this order."""
    recipe = recipe_for(new.model or backend.config.model, new.rendition)
    backend.check_room(recipe.model)
    store = destination = backend.store
    output = names.cutout_result_key(identity, recipe.rendition.suffix)
    if new.destination:
        destination, output = placed(new.destination)
    if new.callback_url:
        check_url(new.callback_url, backend)
    remote = upload is None and not new.source.startswith("s3://")
    if upload:
        suffix = PurePosixPath(upload.name).suffix.lower()
        name = f"{UPLOADS}/{identity}{suffix if suffix in names.IMAGE_EXTENSIONS else ''}"
        backend.open_store().put(name, upload.data, "application/octet-stream")
        photograph = ManifestLine(key=name, size=len(upload.data), etag=identity)
    elif remote:
        check_url(new.source, backend)
        photograph = ManifestLine(key=record_key(identity), size=0, etag=identity)
    else:
        store, name = placed(new.source)
        photograph = ManifestLine(key=name, size=0, etag=identity)
        if (store, name) == (destination, output):
            raise RequestError(
                ErrorCode.OVERLAPPING_LOCATIONS, "The cut-out would overwrite the photograph."
            )
    if remote or new.callback_url:
        record = PrivateFields(url=new.source if remote else None, callback_url=new.callback_url)
        backend.open_store().put(
            record_key(identity), record.model_dump_json().encode(), "application/json"
        )
    cutout = CutoutSpec(
        photograph=photograph,
        destination_key=output,
        source_is_url=remote,
        has_callback=bool(new.callback_url),
    )
    cutouts.submit(backend.ledger, identity, store, destination, recipe, cutout, backend.config)


def check_url(url: str, backend: Backend) -> None:
    """Refuse at once what the guard would refuse later. A name may yet come to resolve."""
    with suppress(RetryableError):
        resolve_target(url, backend.config.url_allowlist, RESOLVE_SECONDS)
