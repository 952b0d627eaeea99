"""Registers a batch: its manifest is durable in object storage before its first line is issued."""

import hashlib
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from contract.batch import BatchSpec, Selection
from contract.cutout import PrivateFields
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.ledger import Ledger
from contract.recipe import Recipe
from contract.schedule import IMMEDIATELY, Schedule
from contract.storage import batch_files, canonical_location, open_store
from contract.stored import is_newer_release
from producer.batches.listing import list_source
from producer.batches.locations import Locations, resolve
from producer.batches.sources.files import STDIN
from producer.batches.storage_retry import StoppedError

log = structlog.get_logger(__name__)

SEGMENT_LINES = 10_000
"""Lines in one segment of the manifest."""
PROPERTIES = {"source", "destination", "recipe", "force", "selection"}
"""What decides the work of a batch. Its schedule may change, and 22:00 is another time tomorrow."""
EVERYTHING = Selection()


def register(
    ledger: Ledger,
    source: str,
    destination: str,
    recipe: Recipe,
    *,
    force: bool = False,
    schedule: Schedule = IMMEDIATELY,
    callback_url: str | None = None,
    selection: Selection = EVERYTHING,
    name: str = "",
) -> BatchSpec:
    """List the source, write the manifest and open the batch; return its spec.

    Goes on with the listing of an earlier call with the same arguments that was killed. With a
    `name`, the same call always returns the same batch. Raises PermanentError:
    `overlapping_locations`, `nothing_to_do`, `invalid_location`, `access_denied`, `newer_release`,
    `idempotency_conflict`, `batch_conflict` if another process lists this batch, and what the
    source raises. RetryableError: the same call goes on with the listing.
    """
    spec = new_spec(
        source, destination, recipe, force=force, selection=selection, schedule=schedule
    )
    token = secrets.token_hex(4)
    unfinished = None if name else _acquire_unfinished(ledger, spec, token)
    if unfinished:
        log.info("continuing an interrupted listing", batch=unfinished.id)
        # the listing is the same; when it runs and who is notified, say the latest options
        update = {"schedule": schedule, "has_callback": callback_url is not None}
        unfinished = unfinished.model_copy(update=update)
        _write_callback(unfinished, callback_url)
        return _list(ledger, unfinished, token, name)
    spec = begin(ledger, spec, f"cli:{name}" if name else "", callback_url)
    progress = ledger.batches.progress(spec.id)
    if progress.state != "registering":
        return progress.spec
    if not ledger.listings.acquire(spec.id, token):
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT, f"Another process is listing the source of {spec.id}."
        )
    return _list(ledger, spec, token, name)


def new_spec(
    source: str,
    destination: str,
    recipe: Recipe,
    *,
    force: bool = False,
    selection: Selection = EVERYTHING,
    schedule: Schedule = IMMEDIATELY,
    background: bool = False,
) -> BatchSpec:
    """Return the spec of a batch that does not exist yet. Raises as `locations.resolve`."""
    locations = resolve(source, destination)
    manifest = selection.manifest
    if manifest and manifest != STDIN:
        manifest = canonical_location(manifest)
    selection = selection.model_copy(update={"key": locations.key, "manifest": manifest})
    return BatchSpec(
        id=f"b-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        source=locations.source, destination=locations.destination, recipe=recipe, force=force,
        created=time.time(), total=0, selection=selection, segment_lines=SEGMENT_LINES,
        schedule=schedule, background=background,
    )  # fmt: skip


def begin(
    ledger: Ledger, spec: BatchSpec, name: str = "", callback_url: str | None = None
) -> BatchSpec:
    """Store a new batch in state `registering`; return it.

    `callback_url` is stored in the destination, not in Redis. With a name that another batch has,
    that one is returned, unless its source could not be listed. Raises PermanentError
    (`idempotency_conflict`) if it has other properties.
    """
    if name:
        digest = _digest(spec)
        named = ledger.listings.reserve_name(name, digest, spec.id)
        if named.batch != spec.id and _was_not_listed(ledger, named.batch):
            ledger.listings.release_name(name, named.digest, named.batch)
            named = ledger.listings.reserve_name(name, digest, spec.id)
        if named.digest != digest:
            raise PermanentError(
                ErrorCode.IDEMPOTENCY_CONFLICT,
                f"The name was used for {named.batch}, which has other properties.",
            )
        # if the process that reserved the name died before it stored the batch, this one does
        spec = spec.model_copy(update={"id": named.batch})
    if callback_url is not None and not ledger.batches.exists(spec.id):
        _write_callback(spec, callback_url)
        spec = spec.model_copy(update={"has_callback": True})
    if ledger.listings.begin(spec):
        return spec
    return ledger.batches.progress(spec.id).spec


def _write_callback(spec: BatchSpec, callback_url: str | None) -> None:
    if callback_url is not None:
        fields = PrivateFields(callback_url=callback_url)
        batch_files.write_private_fields(spec.id, spec.destination, fields)


def _was_not_listed(ledger: Ledger, batch: str) -> bool:
    return ledger.batches.exists(batch) and ledger.batches.progress(batch).state == "failed"


def _digest(spec: BatchSpec) -> str:
    return hashlib.sha256(spec.model_dump_json(include=PROPERTIES).encode()).hexdigest()


def _acquire_unfinished(ledger: Ledger, spec: BatchSpec, token: str) -> BatchSpec | None:
    """Return a batch with the same properties whose listing was interrupted, and acquire it.

    Those of the API are left to `cutout serve`.
    """
    for batch in ledger.listings.ids():
        with suppress(PermanentError):  # it ended since
            known = ledger.batches.progress(batch).spec
            same = not known.background and _digest(known) == _digest(spec)
            if same and ledger.listings.acquire(batch, token):
                return known
    return None


def _list(ledger: Ledger, spec: BatchSpec, token: str, name: str) -> BatchSpec:
    """List the source of a batch. If that can never succeed, forget the batch and its name."""
    try:
        return list_source(ledger, spec, token)
    except PermanentError as error:
        if is_newer_release(error):
            raise  # a process of that release goes on with the listing
        with suppress(CutoutError):
            if ledger.listings.fail(spec.id, "", token):
                ledger.batches.forget(spec.id)
                if name:
                    ledger.listings.release_name(f"cli:{name}", _digest(spec), spec.id)
        raise
    except StoppedError:
        raise PermanentError(
            ErrorCode.BATCH_CONFLICT,
            f"Another process goes on with the listing of {spec.id}, or an operator cancelled it.",
        ) from None
    finally:
        with suppress(CutoutError):
            ledger.listings.release(spec.id, token)


def find_unfinished(
    ledger: Ledger, locations: Locations, recipe: Recipe, *, force: bool
) -> BatchSpec | None:
    """Return the open batch of everything at a source with these properties, or None.

    A batch whose manifest was deleted together with its destination cannot be continued: it is
    discarded.
    """
    selection = Selection(key=locations.key)
    wanted = (locations.source, locations.destination, recipe, force, selection)
    for progress in ledger.batches.progress_of(ledger.batches.open_ids()):
        spec = progress.spec
        if (spec.source, spec.destination, spec.recipe, spec.force, spec.selection) == wanted:
            if open_store(spec.destination).head(spec.manifest_key(0)):
                return spec
            ledger.batches.discard(spec.id)
    return None
