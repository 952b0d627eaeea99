"""Writes the manifest of a batch in segments, and after each how far the listing is."""

import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from json.encoder import encode_basestring
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from contract import names
from contract.batch import BatchSpec
from contract.errors import INFRASTRUCTURE_CODES, ErrorCode, PermanentError
from contract.storage import ObjectInfo, open_store
from contract.storage.batch_files import write_manifest_segment
from contract.stored import read_stored
from producer.batches.collisions import shown_key
from producer.batches.sources import Interval
from producer.batches.storage_retry import StorageRetry

MAX_WAITING_SEGMENTS = 2
"""Segments that are being written; the listing waits if storage takes them more slowly."""


class Checkpoint(BaseModel):
    """What another process needs to go on with a listing. Stored after every segment."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str = ""
    covered: list[Interval] = []
    segments: int = 0
    writers: list[tuple[int, str]] = []
    ignored: int = 0
    excluded: int = 0
    linked_folders: list[str] = []
    unreadable: int = 0
    unreadable_rows: list[str] = []
    pending: list[str] = []
    """lines of the covered intervals that are in no segment yet"""


def load_checkpoint(spec: BatchSpec, storage_retry: StorageRetry) -> Checkpoint:
    """Return how far the listing of a batch is: nowhere, if nothing is stored.

    Raises PermanentError (`newer_release`).
    """
    store = open_store(spec.destination)
    try:
        blob = storage_retry.retried(lambda: store.get(names.checkpoint_key(spec.id)))
    except PermanentError as error:
        if error.code is ErrorCode.OBJECT_MISSING:
            return Checkpoint()
        raise
    what = f"The unfinished listing of {spec.id}"
    return read_stored(Checkpoint.model_validate, json.loads(blob.data), what)


class Segment(NamedTuple):
    """Lines of a manifest that are to be written."""

    number: int
    lines: list[bytes]


class ManifestWriter:
    """Writes numbered JSONL segments. An image is its line number, counted over all of them."""

    def __init__(
        self, spec: BatchSpec, token: str, checkpoint: Checkpoint, storage_retry: StorageRetry,
        on_stored: Callable[[int], None],
    ) -> None:  # fmt: skip
        """`token`: of this process. `on_stored`: called with the number of lines in storage."""
        self._spec = spec
        self._store = open_store(spec.destination)
        self._storage_retry = storage_retry
        self._on_stored = on_stored
        self._segments = checkpoint.segments
        self.writers = [*checkpoint.writers, (checkpoint.segments, token)]
        self._pending = [line.encode() for line in checkpoint.pending]
        """as bytes: a text with a single emoji takes four bytes for each character"""
        self.lines = self._segments * spec.segment_lines + len(self._pending)
        """lines added so far"""
        self._thread = ThreadPoolExecutor(1, "manifest")
        self._writing: deque[Future[None]] = deque()

    def add(self, items: list[ObjectInfo]) -> None:
        """Add photographs; the number of the first is `lines` before the call."""
        self._pending += [
            f'{{"key":{encode_basestring(shown_key(key))},"size":{max(size, 0)},'
            f'"etag":{encode_basestring(etag)}}}'.encode()
            for key, size, etag, _ in items
        ]
        self.lines += len(items)

    @property
    def is_full(self) -> bool:
        """True if there are enough lines for a segment."""
        return len(self._pending) >= self._spec.segment_lines

    def write_full(self, checkpoint: Checkpoint) -> None:
        """Write the lines that fill segments, and then how far the listing is.

        `checkpoint`: all but what the writer knows itself.
        """
        segments = []
        while self.is_full:
            segments.append(self._cut())
        checkpoint.segments, checkpoint.writers = self._segments, self.writers
        checkpoint.pending = [line.decode() for line in self._pending]
        self._submit(segments, checkpoint)

    def finish(self) -> None:
        """Write the rest, and wait until everything is stored."""
        segments = []
        while self._pending:
            segments.append(self._cut())
        self._submit(segments, None)
        while self._writing:
            self._await_first()

    def stop(self) -> None:
        """End the thread. What it has not begun is not written."""
        self._thread.shutdown(cancel_futures=True)

    def _cut(self) -> Segment:
        """Return the next segment."""
        count = self._spec.segment_lines
        lines, self._pending = self._pending[:count], self._pending[count:]
        segment = Segment(self._segments, lines)
        self._segments += 1
        return segment

    def _submit(self, segments: list[Segment], checkpoint: Checkpoint | None) -> None:
        while len(self._writing) >= MAX_WAITING_SEGMENTS:
            self._await_first()
        self._writing.append(self._thread.submit(self._write, segments, checkpoint, self.lines))

    def _await_first(self) -> None:
        """Wait for the oldest write. Raises PermanentError, also as `invalid_location`."""
        try:
            self._writing.popleft().result()
        except PermanentError as error:
            if error.code in INFRASTRUCTURE_CODES - {ErrorCode.OBJECT_MISSING}:
                raise
            raise PermanentError(
                ErrorCode.INVALID_LOCATION,
                f"Nothing can be written below {self._store.uri}: {error.message}",
            ) from error

    def _write(self, segments: list[Segment], checkpoint: Checkpoint | None, lines: int) -> None:
        batch, writer = self._spec.id, self.writers[-1][1]
        for segment in segments:
            self._storage_retry.retried(
                lambda segment=segment: write_manifest_segment(  # type: ignore[misc]
                    self._store, batch, segment.number, segment.lines, writer
                )
            )
        if checkpoint:
            # not by pydantic: positions may be names of files that are not Unicode
            body = json.dumps(checkpoint.model_dump()).encode()
            key = names.checkpoint_key(batch)
            self._storage_retry.retried(lambda: self._store.put(key, body, "application/json"))
        self._on_stored(lines)
