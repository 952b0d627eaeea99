"""Registers a batch: the manifest is durable in object storage before anything is announced."""

import secrets
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice

from contract import names
from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.job import ManifestLine
from contract.ledger import Ledger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.storage import ObjectInfo, Store, batch_files, canonical_location, open_store
from producer.batches.reports import drain
from producer.batches.sources import listing

SEGMENT_LINES = 10_000
SETTLED_AT_ONCE = 1000
LONGEST_SHOWN = 1000


def register(
    ledger: Ledger, source: str, destination: str, recipe: Recipe, *, force: bool = False
) -> BatchSpec:
    """List the source, write the manifest, make the batch known and open it.

    Raises PermanentError: `overlapping_locations`, `nothing_to_do`, or what the storage says. A
    photograph that cannot have an output of its own (`unsafe_key`, `duplicate_destination`) is
    settled as failed here; it stops none of the others.
    """
    source, destination = canonical_location(source), canonical_location(destination)
    batch = f"b-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    manifest = _Manifest(open_store(destination), batch)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(_Outputs(f"{folder}/outputs", recipe.rendition.suffix)) as outputs,
    ):
        for item in listing(source, destination):
            if not names.is_image(item.key):
                manifest.ignored += 1
                continue
            outputs.add(manifest.append(item), item.key)
        manifest.flush()
        if manifest.lines == 0:
            raise PermanentError(
                ErrorCode.NOTHING_TO_DO,
                f"There is no photograph below {source} ({manifest.ignored} other files).",
            )
        spec = BatchSpec(
            id=batch, source=source, destination=destination, recipe=recipe, force=force,
            created=time.time(), total=manifest.lines, ignored=manifest.ignored,
            segment_lines=SEGMENT_LINES,
        )  # fmt: skip
        batch_files.write_spec(spec)
        ledger.batches.register(spec)
        refused = outputs.refused()
        while chunk := list(islice(refused, SETTLED_AT_ONCE)):
            ledger.lines.finish_all(batch, chunk)
            drain(ledger, spec)  # or a folder full of rivals would fill Redis
    ledger.batches.open(batch)
    return spec


class _Manifest:
    """Numbered JSONL segments in object storage; an image is its line number over all of them."""

    def __init__(self, store: Store, batch: str) -> None:
        self._store = store
        self._batch = batch
        self._pending: list[str] = []
        self.lines = 0
        self.ignored = 0

    def append(self, item: ObjectInfo) -> int:
        key = item.key if _is_text(item.key) else names.printable(item.key)[:LONGEST_SHOWN]
        line = ManifestLine(key=key, size=item.size, etag=item.etag)
        self._pending.append(line.model_dump_json())
        self.lines += 1
        if len(self._pending) == SEGMENT_LINES:
            self.flush()
        return self.lines - 1

    def flush(self) -> None:
        if self._pending:
            segment = (self.lines - 1) // SEGMENT_LINES
            body = "\n".join(self._pending).encode() + b"\n"
            try:
                self._store.put(
                    names.manifest_key(self._batch, segment), body, "application/x-ndjson"
                )
            except PermanentError as error:
                if error.code is ErrorCode.ACCESS_DENIED:
                    raise
                raise PermanentError(
                    ErrorCode.INVALID_LOCATION,
                    f"Nothing can be written below {self._store.uri}: {error.message}",
                ) from error
            self._pending.clear()


class _Outputs:
    """Finds photographs that cannot have an output of their own, on disk: 10^7 keys fit."""

    def __init__(self, path: str, suffix: str) -> None:
        self._suffix = suffix
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE outputs (output TEXT PRIMARY KEY, line INT, key TEXT) WITHOUT ROWID;"
            "CREATE TABLE refused (line INT PRIMARY KEY, key TEXT, code TEXT, message TEXT);"
            "BEGIN"
        )

    def add(self, line: int, key: str) -> None:
        if not _is_text(key):
            sentence = f"The name '{names.printable(key)}' is not Unicode."
            self._refuse(line, names.printable(key)[:LONGEST_SHOWN], ErrorCode.UNSAFE_KEY, sentence)
            return
        try:
            names.check_key(key)
        except PermanentError as error:
            self._refuse(line, key, error.code, error.message)
            return
        output = names.output_key(key, self._suffix)
        if self._db.execute(
            "INSERT OR IGNORE INTO outputs VALUES (?, ?, ?)", (output, line, key)
        ).rowcount:
            return
        rival = self._db.execute("SELECT line, key FROM outputs WHERE output = ?", (output,))
        first_line, first_key = rival.fetchone()
        code = ErrorCode.DUPLICATE_DESTINATION
        sentence = "{0!r} and {1!r} would both write {2!r}."
        self._refuse(first_line, first_key, code, sentence.format(first_key, key, output))
        self._refuse(line, key, code, sentence.format(key, first_key, output))

    def _refuse(self, line: int, key: str, code: ErrorCode, message: str) -> None:
        self._db.execute(
            "INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?)", (line, key, code, message)
        )

    def refused(self) -> Iterator[Outcome]:
        rows = self._db.execute("SELECT line, key, code, message FROM refused ORDER BY line")
        for line, key, code, message in rows:
            yield Outcome(
                line=line, key=key, status=Status.FAILED, code=ErrorCode(code), message=message,
                attempts=0,
            )  # fmt: skip

    def close(self) -> None:
        self._db.close()


def _is_text(key: str) -> bool:
    """Return whether a file system's name is Unicode: Linux allows any bytes."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def unfinished(ledger: Ledger, wanted: tuple[str, str, Recipe, bool]) -> BatchSpec | None:
    """Return the open batch of the same (source, destination, recipe, force), if there is one.

    One whose manifest was deleted with its destination cannot go on; it is closed.
    """
    for batch in ledger.batches.open_ids():
        spec = ledger.batches.progress(batch).spec
        if (spec.source, spec.destination, spec.recipe, spec.force) == wanted:
            if open_store(spec.destination).head(names.manifest_key(batch, 0)):
                return spec
            ledger.batches.discard(batch)
    return None
