"""What lies at a destination, from one listing instead of a request for each photograph."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from contract import names
from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.output_keys import output_keys
from contract.recipe import Recipe
from contract.storage import ObjectInfo
from producer.batches.sources.store import StoreSource
from producer.batches.storage_retry import StorageRetry


class OutputIndex:
    """When each output was written. On disk, so that ten million need little memory."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self._output_keys = output_keys(recipe)
        self._reviews = recipe.policy.reviews
        self._suffixes = tuple({rendition.suffix for rendition in recipe.outputs})
        # only one thread at a time uses it
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE outputs (key TEXT PRIMARY KEY, modified REAL) WITHOUT ROWID; BEGIN"
        )

    def add(self, items: list[ObjectInfo]) -> None:
        rows = [
            (item.key, item.modified)
            for item in items
            if item.key.endswith(self._suffixes) and item.key.isprintable()
        ]
        self._database.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?)", rows)

    def has_newer(self, photograph: ObjectInfo) -> bool:
        """Return whether the photograph has all outputs, none of them older than itself."""
        if not photograph.modified:
            return False
        return all(
            self._is_newer(output_key(photograph.key), photograph.modified)
            for output_key in self._output_keys
        )

    def _is_newer(self, key: str, modified: float) -> bool:
        if not key.isprintable():
            return False
        keys = (key, names.review_key(key)) if self._reviews else (key, key)
        query = "SELECT max(modified) FROM outputs WHERE key IN (?, ?)"
        [newest] = self._database.execute(query, keys).fetchone()
        return newest is not None and bool(newest >= modified)

    def close(self) -> None:
        self._database.close()


@contextmanager
def listed_outputs(spec: BatchSpec, storage_retry: StorageRetry) -> Iterator[OutputIndex | None]:
    """Yield an index of the outputs at a batch's destination, or None if it needs none."""
    if not spec.selection.only_changed:
        yield None
        return
    with (
        TemporaryDirectory() as folder,
        closing(OutputIndex(Path(folder, "outputs"), spec.recipe)) as index,
    ):
        try:
            source = StoreSource(spec.destination, storage_retry, in_order=False)
            for page in source.pages([("", None)]):
                index.add(page.items)
        except PermanentError as error:
            if error.code is not ErrorCode.OBJECT_MISSING:  # a folder that does not exist yet
                raise
        yield index
