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
    160 MB of disk, 10 MB of memory and two microseconds each.
    """

    def __init__(self, folder: Path, suffix: str, *, in_buckets: bool) -> None:
        """Create the index in an empty folder.

        `suffix`: the outputs' extension with its dot. `in_buckets`: the batch reads and writes
        buckets alone, so keys may have empty parts.
        """
        self._folder, self._suffix = folder, suffix
        self._unsafe = names.UNSAFE_OBJECT if in_buckets else names.UNSAFE
        self._check = names.check_object_key if in_buckets else names.check_key
        self._partitions = [bytearray() for _ in range(256)]
        self._database = sqlite3.connect(
            folder / "failed", isolation_level=None, check_same_thread=False
        )
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE candidates (line INTEGER PRIMARY KEY, key TEXT, output TEXT);"
            "CREATE TABLE failed (line INTEGER PRIMARY KEY, key TEXT, code TEXT, message TEXT);"
            "BEGIN"
        )

    def add(self, first_line: int, keys: Iterable[str]) -> None:
        """Add the photographs of successive lines."""
        partitions, suffix, pack = self._partitions, self._suffix, RECORD.pack
        for line, key in enumerate(keys, first_line):
            if not self._is_storable(line, key):
                continue
            digest = hash(names.output_key(key, suffix))  # the same within this process
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
        """Return whether an output can have this key; else the line fails."""
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

    def _spill(self, number: int) -> None:
        with (self._folder / f"{number:02x}").open("ab") as file:
            file.write(self._partitions[number])
        self._partitions[number].clear()

    def _find_candidates(self) -> None:
        """Note the lines whose hash another line has too."""
        for number, partition in enumerate(self._partitions):
            path = self._folder / f"{number:02x}"
            stored = path.read_bytes() if path.exists() else b""
            first_lines: dict[int, int] = {}
            for digest, line in RECORD.iter_unpack(stored + partition):
                first = first_lines.setdefault(digest, line)
                if first != line:
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
                "UPDATE candidates SET key = ?, output = ? WHERE line = ?",
                [
                    (key, names.output_key(key, self._suffix), line)
                    for line in lines
                    for key in [keys[line - first]]
                ],
            )

    def _compare_outputs(self) -> None:
        """Fail the candidates whose output key another one has."""
        self._database.execute("CREATE INDEX by_output ON candidates (output, line)")
        rows = self._database.execute("SELECT output, line, key FROM candidates ORDER BY 1, 2")
        first: tuple[str, int, str] = ("", -1, "")
        failed_first = -1
        for output, line, key in rows:
            if output != first[0]:
                first = (output, line, key)
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
def collision_index(suffix: str, *, in_buckets: bool) -> Iterator[CollisionIndex]:
    """Yield an empty index in a temporary folder; for the arguments see CollisionIndex."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(CollisionIndex(Path(folder), suffix, in_buckets=in_buckets)) as index,
    ):
        yield index


def refused(spec: BatchSpec) -> Iterator[Outcome]:
    """Yield, from its manifest, the outcomes with which the registration of a batch refused lines.

    Except of keys that are not Unicode, or too long, which the manifest holds escaped and cut: no
    object has that name.
    """
    suffix = spec.recipe.rendition.suffix
    with collision_index(suffix, in_buckets=spec.is_in_buckets) as index:
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
