"""Registers a batch: its manifest is durable in object storage before Redis knows the batch."""

import secrets
import time
from datetime import UTC, datetime
from itertools import islice

from contract import names
from contract.batch import BatchSpec
from contract.cutout import PrivateFields
from contract.errors import ErrorCode, PermanentError
from contract.job import ManifestLine
from contract.ledger import Ledger
from contract.recipe import Recipe
from contract.schedule import IMMEDIATELY, Schedule
from contract.storage import ObjectInfo, Store, batch_files, canonical_location, open_store
from producer.batches.collisions import CollisionIndex, collision_index, shown_key
from producer.batches.drain import drain
from producer.batches.sources import listing

SEGMENT_LINES = 10_000
"""Lines in one segment of the manifest."""
SETTLE_CHUNK = 1000
"""Images settled as failed in one call of the ledger."""


def register(
    ledger: Ledger,
    source: str,
    destination: str,
    recipe: Recipe,
    *,
    force: bool = False,
    schedule: Schedule = IMMEDIATELY,
    callback_url: str | None = None,
) -> BatchSpec:
    """List the source, write the manifest, register the batch and open it.

    A photograph that cannot have an output of its own (`unsafe_key`, `duplicate_destination`) is
    settled as failed here, and does not affect the others. Raises PermanentError:
    `overlapping_locations`, `nothing_to_do`, `invalid_location`, `access_denied`.
    """
    source, destination = canonical_location(source), canonical_location(destination)
    batch = f"b-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    manifest = _ManifestWriter(open_store(destination), batch)
    with collision_index(recipe.rendition.suffix) as collisions:
        ignored = 0
        for item in listing(source, destination):
            if names.is_image(item.key):
                collisions.add(manifest.append(item), item.key)
            else:
                ignored += 1
        manifest.flush()
        if manifest.lines == 0:
            raise PermanentError(
                ErrorCode.NOTHING_TO_DO,
                f"No photograph was found below {source} ({ignored} other files).",
            )
        spec = BatchSpec(
            id=batch, source=source, destination=destination, recipe=recipe, force=force,
            created=time.time(), total=manifest.lines, ignored=ignored,
            segment_lines=SEGMENT_LINES, schedule=schedule, has_callback=callback_url is not None,
        )  # fmt: skip
        if callback_url is not None:
            fields = PrivateFields(callback_url=callback_url)
            batch_files.write_private_fields(batch, destination, fields)
        batch_files.write_spec(spec)
        ledger.batches.register(spec)
        _settle_collisions(ledger, spec, collisions)
    ledger.batches.open(batch)
    return spec


def _settle_collisions(ledger: Ledger, spec: BatchSpec, collisions: CollisionIndex) -> None:
    outcomes = collisions.outcomes()
    while chunk := list(islice(outcomes, SETTLE_CHUNK)):
        ledger.lines.finish_all(spec.id, chunk)
        drain(ledger, spec)  # or a folder full of collisions would fill Redis


class _ManifestWriter:
    """Writes numbered JSONL segments. An image is its line number, counted over all of them."""

    def __init__(self, store: Store, batch: str) -> None:
        self._store = store
        self._batch = batch
        self._pending: list[str] = []
        self.lines = 0

    def append(self, item: ObjectInfo) -> int:
        """Add an image and return its line number."""
        line = ManifestLine(key=shown_key(item.key), size=item.size, etag=item.etag)
        self._pending.append(line.model_dump_json())
        self.lines += 1
        if len(self._pending) == SEGMENT_LINES:
            self.flush()
        return self.lines - 1

    def flush(self) -> None:
        """Write the lines that are not written yet as a segment."""
        if not self._pending:
            return
        segment = (self.lines - 1) // SEGMENT_LINES
        try:
            batch_files.write_manifest_segment(self._store, self._batch, segment, self._pending)
        except PermanentError as error:
            if error.code is ErrorCode.ACCESS_DENIED:
                raise
            raise PermanentError(
                ErrorCode.INVALID_LOCATION,
                f"Nothing can be written below {self._store.uri}: {error.message}",
            ) from error
        self._pending.clear()


def find_unfinished(
    ledger: Ledger, source: str, destination: str, recipe: Recipe, *, force: bool
) -> BatchSpec | None:
    """Return the open batch with these properties (canonical locations), or None.

    A batch whose manifest was deleted together with its destination cannot be continued: it is
    discarded.
    """
    for batch in ledger.batches.open_ids():
        spec = ledger.batches.progress(batch).spec
        properties = (spec.source, spec.destination, spec.recipe, spec.force)
        if properties == (source, destination, recipe, force):
            if open_store(spec.destination).head(names.manifest_key(batch, 0)):
                return spec
            ledger.batches.discard(batch)
    return None
