"""Where photographs are listed: a folder, a bucket, one file, a manifest, or another batch."""

from contextlib import ExitStack

from contract.batch import BatchSpec
from producer.batches.sources.batch import BatchSource
from producer.batches.sources.manifest import ManifestSource
from producer.batches.sources.page import Covered, Interval, Page, Position, Source
from producer.batches.sources.store import OneFile, StoreSource
from producer.batches.storage_retry import StorageRetry

__all__ = ["Covered", "Interval", "Page", "Position", "Source", "open_source"]


def open_source(spec: BatchSpec, storage_retry: StorageRetry, stack: ExitStack) -> Source:
    """Return the source of a batch; its temporary files are deleted by `stack`.

    Raises PermanentError: `invalid_location`, `access_denied`, `object_missing`,
    `invalid_manifest`, `batch_unknown`.
    """
    if spec.selection.key:
        return OneFile(spec.source, spec.selection.key, storage_retry)
    if spec.selection.batch:
        return BatchSource(spec, storage_retry)
    if spec.selection.manifest:
        needs_modified = spec.selection.since is not None or spec.selection.only_changed
        return ManifestSource(
            spec.source,
            spec.selection.manifest,
            storage_retry,
            stack,
            needs_modified=needs_modified,
        )
    return StoreSource(spec.source, storage_retry, in_order=spec.selection.limit is not None)
