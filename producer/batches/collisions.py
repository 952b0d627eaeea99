"""Photographs that cannot have an output of their own: unsafe keys, and keys that collide."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

from contract import names
from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.outcome import Outcome, Status
from contract.storage import batch_files

MAX_SHOWN_KEY = 1000
"""Characters shown of a key that cannot be stored as it is."""


class CollisionIndex:
    """Every output key of a batch, on disk, so that 10 million keys need little memory."""

    def __init__(self, path: str, suffix: str) -> None:
        """Create the index as a new file; `suffix`: the outputs' file extension with its dot."""
        self._suffix = suffix
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE outputs (output TEXT PRIMARY KEY, line INT, key TEXT) WITHOUT ROWID;"
            "CREATE TABLE failed (line INT PRIMARY KEY, key TEXT, code TEXT, message TEXT);"
            "BEGIN"
        )

    def add(self, line: int, key: str) -> None:
        """Add a photograph. If its output key is taken, both photographs fail."""
        if not is_text(key):
            message = f"The name '{names.printable(key)}' is not Unicode."
            self._fail(line, shown_key(key), ErrorCode.UNSAFE_KEY, message)
            return
        try:
            names.check_key(key)
        except PermanentError as error:
            self._fail(line, key, error.code, error.message)
            return
        output = names.output_key(key, self._suffix)
        inserted = self._database.execute(
            "INSERT OR IGNORE INTO outputs VALUES (?, ?, ?)", (output, line, key)
        )
        if inserted.rowcount == 0:
            query = "SELECT line, key FROM outputs WHERE output = ?"
            first_line, first_key = self._database.execute(query, (output,)).fetchone()
            self._fail_collision(first_line, first_key, key, output)
            self._fail_collision(line, key, first_key, output)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the failed outcomes by line."""
        rows = self._database.execute("SELECT line, key, code, message FROM failed ORDER BY line")
        for line, key, code, message in rows:
            yield Outcome(
                line=line, key=key, status=Status.FAILED, code=ErrorCode(code), message=message,
                attempts=0,
            )  # fmt: skip

    def close(self) -> None:
        self._database.close()

    def _fail_collision(self, line: int, key: str, other_key: str, output: str) -> None:
        message = f"{key!r} and {other_key!r} would both write {output!r}."
        self._fail(line, key, ErrorCode.DUPLICATE_DESTINATION, message)

    def _fail(self, line: int, key: str, code: ErrorCode, message: str) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO failed VALUES (?, ?, ?, ?)", (line, key, code, message)
        )


@contextmanager
def collision_index(suffix: str) -> Iterator[CollisionIndex]:
    """Yield an empty index in a temporary file; `suffix`: as of CollisionIndex."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(CollisionIndex(f"{folder}/outputs", suffix)) as index,
    ):
        yield index


def refused(spec: BatchSpec) -> Iterator[Outcome]:
    """Yield, from its manifest, the outcomes with which the registration of a batch refused lines.

    Except of keys that are not Unicode, which the manifest holds escaped: no object has that name.
    """
    with collision_index(spec.recipe.rendition.suffix) as index:
        for segment in range(spec.segments):
            first = segment * spec.segment_lines
            for line, photograph in enumerate(batch_files.manifest_lines(spec, segment), first):
                index.add(line, photograph.key)
        yield from index.outcomes()


def is_text(key: str) -> bool:
    """Return whether a key is Unicode. Linux allows any bytes in a file's name."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_key(key: str) -> str:
    """Return a key as it can be stored: unchanged if it is Unicode, else escaped and cut short."""
    return key if is_text(key) else names.printable(key)[:MAX_SHOWN_KEY]
