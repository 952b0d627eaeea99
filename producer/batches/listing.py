"""Lists the source of a batch: pages of objects become lines of its manifest.

A batch is in Redis, in state `registering`, before its source is listed. One process at a time
lists it, under a lease. What is killed is continued: after every segment of the manifest, object
storage holds the intervals of the source that were listed, and the next process lists the others.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import islice

import structlog

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.ledger import Ledger
from contract.outcome import Outcome
from contract.storage import ObjectInfo, batch_files, open_store, outcome_files
from producer.batches.collisions import CollisionIndex, collision_index, line_key, segment_keys
from producer.batches.drain import drain
from producer.batches.manifest_writer import Checkpoint, ManifestWriter, load_checkpoint
from producer.batches.outputs import listed_outputs
from producer.batches.selection import PhotographFilter, linked_folders_text
from producer.batches.sources import Covered, open_source
from producer.batches.storage_retry import StoppedError, StorageRetry

log = structlog.get_logger(__name__)

SETTLE_CHUNK = 1000
"""Images settled as failed in one call of the ledger."""
RENEW_SECONDS = 5
"""Seconds between two renewals of the lease."""


def list_source(
    ledger: Ledger, spec: BatchSpec, token: str, stopping: Callable[[], bool] = lambda: False
) -> BatchSpec:
    """List the source of a batch in state `registering`, and open it; return its complete spec.

    The caller has acquired the listing with `token`, and releases it. A photograph that cannot have
    an output of its own (`unsafe_key`, `duplicate_destination`) is settled as failed here, and does
    not affect the others. Raises PermanentError (`nothing_to_do`, `invalid_location`,
    `access_denied`, `invalid_manifest`, ...), RetryableError if storage does not come back, and
    StoppedError if `stopping` says so or another process has taken over.
    """
    with ExitStack() as stack:
        listing = _Listing(ledger, spec, token, stack, stopping)
        listing.run()
        complete = listing.finish()
    with suppress(CutoutError):
        open_store(spec.destination).delete(names.checkpoint_key(spec.id))
    return complete


class _Listing:
    def __init__(
        self, ledger: Ledger, spec: BatchSpec, token: str, stack: ExitStack,
        stopping: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._ledger, self._spec, self._token, self._stopping = ledger, spec, token, stopping
        self._reading = StorageRetry(spec.id, self._must_stop)
        self._writing = StorageRetry(spec.id, self._must_stop)
        stack.callback(self._writing.stop)
        stack.callback(self._reading.stop)
        self._lease = _Lease(spec.id, self._record)
        stack.callback(self._lease.stop)
        self._stored = spec.total
        self._source = open_source(spec, self._reading, stack)
        checkpoint = load_checkpoint(spec, self._reading)
        self._writing.note_answer()  # the destination's: from here on, its outage is waited out
        if checkpoint.fingerprint != self._source.fingerprint:
            checkpoint = Checkpoint(fingerprint=self._source.fingerprint)
        self._collisions = stack.enter_context(
            collision_index(spec.recipe, in_buckets=spec.is_in_buckets)
        )
        self._covered = Covered(self._source.first, checkpoint.covered)
        outputs = stack.enter_context(listed_outputs(spec, self._reading))
        self._filter = PhotographFilter(spec, outputs)
        self._filter.ignored, self._filter.excluded = checkpoint.ignored, checkpoint.excluded
        self._filter.linked_folders = [*checkpoint.linked_folders]
        self._filter.unreadable = checkpoint.unreadable
        self._filter.unreadable_rows = [*checkpoint.unreadable_rows]
        self._manifest = ManifestWriter(spec, token, checkpoint, self._writing, self._on_stored)
        stack.callback(self._manifest.stop)
        self._filter.taken = self._manifest.lines
        self._restore_collisions(checkpoint)

    def _must_stop(self) -> bool:
        return self._stopping() or self._lease.is_lost

    def run(self) -> None:
        """List what is not listed yet."""
        if not self._filter.is_full:
            for page in self._source.pages(self._covered.gaps()):
                self._lease.check()
                if self._stopping():
                    raise StoppedError
                self._filter.skip_linked(page.linked_folders)
                self._filter.skip_unreadable(page.unreadable_rows)
                self._add(self._filter.choose(page.items))
                if self._filter.is_full:
                    break
                self._covered.add(page.interval)
                if self._manifest.is_full:
                    self._manifest.write_full(self._checkpoint())
            if not self._filter.is_full and self._covered.gaps():
                raise StoppedError  # a source that ended early: never open a part of it
        self._add(self._filter.rest())

    def finish(self) -> BatchSpec:
        """Complete the batch and open it."""
        self._manifest.finish()
        self._lease.check()
        spec = self._complete_spec()
        if self._ledger.batches.progress(spec.id).settled:
            self._writing.retried(lambda: self._delete_outcomes(spec))
        if not self._ledger.listings.complete(spec, self._token):
            raise StoppedError
        for chunk in _chunks(self._collisions, spec):
            self._lease.check()
            self._ledger.lines.finish_all(spec.id, chunk)
            drain(self._ledger, spec)  # or a folder full of collisions would fill Redis
        # an operator may have cancelled the batch: then it is not opened, nor ever rebuilt
        self._lease.renew()
        self._lease.check()
        self._writing.retried(lambda: batch_files.write_spec(spec))
        self._lease.renew()
        self._lease.check()
        self._ledger.batches.open(spec.id)
        return spec

    @staticmethod
    def _delete_outcomes(spec: BatchSpec) -> None:
        """Delete the outcomes of a process that died while it settled lines.

        The lines that it had listed last are listed again, and may be others now.
        """
        store = open_store(spec.destination)
        for key in outcome_files.segments(store, spec.id):
            store.delete(key)

    def _add(self, photographs: list[ObjectInfo]) -> None:
        """Add lines to the manifest."""
        self._collisions.add(self._manifest.lines, (item.key for item in photographs))
        self._manifest.add(photographs)

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            fingerprint=self._source.fingerprint,
            covered=self._covered.intervals,
            ignored=self._filter.ignored,
            excluded=self._filter.excluded,
            linked_folders=[*self._filter.linked_folders],
            unreadable=self._filter.unreadable,
            unreadable_rows=[*self._filter.unreadable_rows],
        )

    def _restore_collisions(self, checkpoint: Checkpoint) -> None:
        """Index the lines that an earlier process has listed."""
        lines = self._spec.segment_lines
        spec = self._spec.model_copy(update={"segment_writers": tuple(checkpoint.writers)})
        for segment in range(checkpoint.segments):
            keys = self._reading.retried(lambda n=segment: segment_keys(spec, n))  # type: ignore[misc]
            self._collisions.add(segment * lines, keys)
            self._lease.check()
        pending = [line_key(line) for line in checkpoint.pending]
        self._collisions.add(checkpoint.segments * lines, pending)

    def _complete_spec(self) -> BatchSpec:
        total, ignored = self._manifest.lines, self._filter.ignored
        excluded = self._filter.excluded
        if total == 0:
            raise PermanentError(
                ErrorCode.NOTHING_TO_DO,
                f"No photograph was found below {self._spec.source} ({ignored:,} other files,"
                f" {excluded:,} photographs that the options exclude)."
                f" {linked_folders_text(self._filter.linked_folders)}".rstrip(),
            )
        return self._spec.model_copy(
            update={
                "total": total, "ignored": ignored, "excluded": excluded,
                "segment_writers": tuple(self._manifest.writers),
                "linked_folders": tuple(self._filter.linked_folders),
                "unreadable": self._filter.unreadable,
                "unreadable_rows": tuple(self._filter.unreadable_rows),
            }
        )  # fmt: skip

    # the lease

    def _on_stored(self, lines: int) -> None:
        self._stored = lines
        self._lease.renew()

    def _record(self) -> bool:
        reason = self._reading.reason or self._writing.reason
        return self._ledger.listings.record(self._spec.id, self._token, self._stored, reason)


class _Lease:
    """Renews the right to list in a thread, as a page may take minutes while storage is down."""

    def __init__(self, batch: str, record: Callable[[], bool]) -> None:
        self._batch, self._record = batch, record
        self.is_lost = False
        """True if another process lists the source now, or an operator ended it"""
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def renew(self) -> None:
        # if Redis is away for long, the lease ends; `complete` finds out
        with suppress(RetryableError):
            self.is_lost = self.is_lost or not self._record()

    def check(self) -> None:
        """Raise StoppedError if another process lists the source now, or an operator ended it."""
        if self.is_lost:
            raise StoppedError

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(RENEW_SECONDS):
            try:
                self.renew()
            except CutoutError as error:
                log.error("lease of the listing not renewed", batch=self._batch, reason=str(error))  # noqa: TRY400
                self.is_lost = True


def _chunks(collisions: CollisionIndex, spec: BatchSpec) -> Iterator[list[Outcome]]:
    outcomes = collisions.outcomes(spec.segment_lines, lambda n: segment_keys(spec, n))
    while chunk := list(islice(outcomes, SETTLE_CHUNK)):
        yield chunk
