"""Photographs that cannot have an output of their own: unsafe keys, and keys that collide."""

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from struct import Struct

from contract import names
from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.outcome import Outcome, Status
from contract.output_keys import has_own_keys, output_keys
from contract.recipe import Recipe
from contract.storage import batch_files

MAX_SHOWN_KEY = 1000
"""Characters shown of a key that cannot be stored as it is."""
MAX_KEY = 4096
"""Characters of a key that a manifest can hold, see `ManifestLine`."""
PARTITION_BYTES = 32_768
"""Bytes of one of the 256 partitions that are kept in memory."""
RECORD = Struct("<qQ")
"""The hash of an output key, and a line number."""


class CollisionIndex:
    """Finds the lines of a batch that have the same output key.

    Hashes of all output keys go to 256 files, by their last byte. Each is small enough to look for
    equal ones in memory; only the keys of those lines are then compared. So ten million lines need
    160 MB of disk, 10 MB of memory and two microseconds each. If renditions have templates of their
    own, that is needed for each rendition.
    """

    def __init__(self, folder: Path, recipe: Recipe, *, in_buckets: bool) -> None:
        """Create the index in an empty folder.

        `in_buckets`: the batch reads and writes buckets alone, so keys may have empty parts.
        """
        self._folder = folder
        self._renditions = output_keys(recipe)
        # without templates, photographs share the keys of all renditions, or of none
        self._compared = self._renditions if has_own_keys(recipe) else self._renditions[:1]
        self._has_templates = any(rendition.key for rendition in recipe.renditions)
        self._unsafe = names.UNSAFE_OBJECT if in_buckets else names.UNSAFE
        self._check = names.check_object_key if in_buckets else names.check_key
        self._partitions = [bytearray() for _ in range(256)]
        self._database = sqlite3.connect(
            folder / "failed", isolation_level=None, check_same_thread=False
        )
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE candidates (line INTEGER PRIMARY KEY);"
            "CREATE TABLE outputs (output TEXT, line INTEGER, key TEXT);"
            "CREATE TABLE failed (line INTEGER PRIMARY KEY, key TEXT, code TEXT, message TEXT);"
            "BEGIN"
        )

    def add(self, first_line: int, keys: Iterable[str]) -> None:
        """Add the photographs of successive lines."""
        partitions, compared, pack = self._partitions, self._compared, RECORD.pack
        for line, key in enumerate(keys, first_line):
            if not self._is_storable(line, key):
                continue
            for output_key in compared:
                digest = hash(output_key(key))  # the same within this process
                partition = partitions[digest & 0xFF]
                partition += pack(digest, line)
                if len(partition) >= PARTITION_BYTES:
                    self._spill(digest & 0xFF)

    def outcomes(
        self, segment_lines: int, read_keys: Callable[[int], list[str]]
    ) -> Iterator[Outcome]:
        """Yield the failed outcomes by line.

        `read_keys` returns the keys of a segment of the manifest, which has `segment_lines`.
        """
        self._find_candidates()
        self._fetch_keys(segment_lines, read_keys)
        self._compare_outputs()
        rows = self._database.execute("SELECT line, key, code, message FROM failed ORDER BY line")
        for line, key, code, message in rows:
            yield Outcome(
                line=line, key=key, status=Status.FAILED, code=ErrorCode(code), message=message,
                attempts=0,
            )  # fmt: skip

    def close(self) -> None:
        self._database.close()

    def _is_storable(self, line: int, key: str) -> bool:
        """Return whether outputs can have the keys that follow from this one; else it fails."""
        if self._has_templates and not self._outputs_are_safe(line, key):
            return False
        if key.isascii() and len(key) <= MAX_KEY and not self._unsafe.search(key):
            return True
        if not key.isascii() and not is_text(key):
            message = f"The name '{names.printable(key)}' is not Unicode."
        elif len(key) > MAX_KEY:
            message = f"The name has {len(key):,} characters, more than {MAX_KEY:,}."
        else:
            try:
                self._check(key)
            except PermanentError as error:
                message = error.message
            else:
                return True
        self._fail(line, shown_key(key), ErrorCode.UNSAFE_KEY, message)
        return False

    def _outputs_are_safe(self, line: int, key: str) -> bool:
        """Return whether templates make plain paths of this key; else the line fails."""
        for output_key in self._renditions:
            output = output_key(key)
            if self._unsafe.search(output) or names.is_reserved(output) or len(output) > MAX_KEY:
                message = f"Its output would be {names.printable(output)[:MAX_SHOWN_KEY]!r}."
                self._fail(line, shown_key(key), ErrorCode.UNSAFE_KEY, message)
                return False
        return True

    def _spill(self, number: int) -> None:
        with (self._folder / f"{number:02x}").open("ab") as file:
            file.write(self._partitions[number])
        self._partitions[number].clear()

    def _find_candidates(self) -> None:
        """Note the lines with a hash that another line has too, or another of their outputs."""
        for number, partition in enumerate(self._partitions):
            path = self._folder / f"{number:02x}"
            stored = path.read_bytes() if path.exists() else b""
            first_lines: dict[int, int] = {}
            for digest, line in RECORD.iter_unpack(stored + partition):
                first = first_lines.get(digest)
                if first is None:
                    first_lines[digest] = line
                else:
                    self._database.executemany(
                        "INSERT OR IGNORE INTO candidates (line) VALUES (?)", [(first,), (line,)]
                    )

    def _fetch_keys(self, segment_lines: int, read_keys: Callable[[int], list[str]]) -> None:
        query = "SELECT DISTINCT line / ? FROM candidates"
        for (segment,) in self._database.execute(query, (segment_lines,)).fetchall():
            keys, first = read_keys(segment), segment * segment_lines
            between = (first, first + segment_lines - 1)
            query = "SELECT line FROM candidates WHERE line BETWEEN ? AND ?"
            lines = [line for (line,) in self._database.execute(query, between)]
            self._database.executemany(
                "INSERT INTO outputs VALUES (?, ?, ?)",
                [
                    (output_key(key), line, key)
                    for line in lines
                    for key in [keys[line - first]]
                    for output_key in self._compared
                ],
            )

    def _compare_outputs(self) -> None:
        """Fail the candidates whose output key another one has."""
        self._database.execute("CREATE INDEX by_output ON outputs (output, line)")
        rows = self._database.execute("SELECT output, line, key FROM outputs ORDER BY 1, 2")
        first: tuple[str, int, str] = ("", -1, "")
        failed_first = -1
        for output, line, key in rows:
            if output != first[0]:
                first, failed_first = (output, line, key), -1
                continue
            if line == first[1]:
                message = f"Two renditions of {key!r} would both write {output!r}."
                self._fail(line, key, ErrorCode.DUPLICATE_DESTINATION, message)
                continue
            if key == first[2]:  # as a manifest may do
                message = f"{key!r} is listed on line {first[1]} too."
                self._fail(line, key, ErrorCode.DUPLICATE_DESTINATION, message)
                continue
            if failed_first != first[1]:
                failed_first = first[1]
                self._fail_collision(first[1], first[2], key, output)
            self._fail_collision(line, key, first[2], output)

    def _fail_collision(self, line: int, key: str, other_key: str, output: str) -> None:
        message = f"{key!r} and {other_key!r} would both write {output!r}."
        self._fail(line, key, ErrorCode.DUPLICATE_DESTINATION, message)

    def _fail(self, line: int, key: str, code: ErrorCode, message: str) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO failed VALUES (?, ?, ?, ?)", (line, key, code, message)
        )


@contextmanager
def collision_index(recipe: Recipe, *, in_buckets: bool) -> Iterator[CollisionIndex]:
    """Yield an empty index in a temporary folder; for the arguments see CollisionIndex."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(CollisionIndex(Path(folder), recipe, in_buckets=in_buckets)) as index,
    ):
        yield index


def refused(spec: BatchSpec) -> Iterator[Outcome]:
    """Yield, from its manifest, the outcomes with which the registration of a batch refused lines.

    Except of keys that are not Unicode, or too long, which the manifest holds escaped and cut: no
    object has that name.
    """
    with collision_index(spec.recipe, in_buckets=spec.is_in_buckets) as index:
        for segment in range(spec.segments):
            index.add(segment * spec.segment_lines, segment_keys(spec, segment))
        yield from index.outcomes(spec.segment_lines, lambda n: segment_keys(spec, n))


def segment_keys(spec: BatchSpec, segment: int) -> list[str]:
    """Return the keys of the photographs in a segment of a batch's manifest."""
    return [line_key(line) for line in batch_files.manifest_segment(spec, segment)]


def line_key(line: bytes | str) -> str:
    """Return the key of a photograph from its line of a manifest."""
    return str(json.loads(line)["key"])


def is_text(key: str) -> bool:
    """Return whether a key is Unicode. Linux allows any bytes in a file's name."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_key(key: str) -> str:
    """Return a key as a manifest can hold it: unchanged if possible, else escaped and cut short."""
    if len(key) <= MAX_KEY and (key.isascii() or is_text(key)):
        return key
    return names.printable(key)[:MAX_SHOWN_KEY]
