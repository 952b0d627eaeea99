"""What every drill does: fill a catalogue, harm the cluster, have the batch audited."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract import names
from contract.batch import BatchSpec, Progress
from contract.outcome import Outcome
from contract.storage.batch_files import manifest_lines
from producer.batches import reports
from support.catalogue import photograph
from support.cluster import Cluster
from support.services import until

COLUMNS = ("drill", "injected", "bound", "measured", "lost", "duplicated", "verdict")


@dataclass
class Drill:
    """A stand-in cluster, a catalogue to fill, and the row that says how it went."""

    name: str
    full: bool
    """the long form, of `make drills`; bounds hold there"""
    cluster: Cluster
    catalogue: Path
    out: Path
    note: Callable[[str, object], None]
    """puts a row into the test's report, which reaches whoever writes the table"""
    patience: float = 180
    """seconds that a batch may take to close"""
    places: tuple[str, str] | None = None
    """source and destination as the batch names them, where those two are not plain folders"""

    def size(self, short: int, full: int) -> int:
        return full if self.full else short

    def fill(self, count: int) -> None:
        """Put photographs into the catalogue. Few are drawn: the rest are copies."""
        drawn: list[bytes] = []
        for number in range(count):
            path = self.key_path(number)
            if number < 20:
                photograph(path, number)
                drawn.append(path.read_bytes())
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(drawn[number % 20])

    def key(self, number: int) -> str:
        return self.key_path(number).relative_to(self.catalogue).as_posix()

    def key_path(self, number: int) -> Path:
        return self.catalogue / f"shelf {number // 500}" / f"{number:06d}.jpg"

    def submit(self, **options: bool) -> BatchSpec:
        return self.cluster.submit(*(self.places or (self.catalogue, self.out)), **options)

    def line_of(self, spec: BatchSpec, path: Path) -> int:
        key = path.relative_to(self.catalogue).as_posix()
        return next(n for n, line in enumerate(manifest_lines(spec, 0)) if line.key == key)

    def progress(self, spec: BatchSpec) -> Progress:
        return self.cluster.ledger.batches.progress(spec.id)

    def settled(self, spec: BatchSpec, count: int, seconds: float = 120) -> float:
        """Wait until so many lines are settled; return how long it took."""
        start = time.monotonic()
        until(lambda: self.progress(spec).settled >= count, seconds, pause=0.05)
        return time.monotonic() - start

    def paused(self, spec: BatchSpec, seconds: float = 120) -> Progress:
        return until(lambda: self._in(spec, "paused"), seconds, pause=0.05)

    def _in(self, spec: BatchSpec, state: str) -> Progress | None:
        now = self.progress(spec)
        return now if now.state == state else None

    def closed(self, spec: BatchSpec, seconds: float = 0) -> Progress:
        return until(lambda: self.cluster.closed(spec), seconds or self.patience)

    def outcomes(self, spec: BatchSpec) -> dict[str, Outcome]:
        """By key."""
        return {row.key: row for row in reports.current(self.cluster.ledger, spec)}

    def cutout(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line as a person does."""
        command = [sys.executable, "-m", "producer", *arguments]
        env = self.cluster.environment()
        return subprocess.run(command, check=False, capture_output=True, text=True, env=env)

    def quiet(self) -> bool:
        """Say whether late copies, and what a cancelled batch left, are taken and dropped."""
        with self.cluster.ledger.connection.client.pipeline() as pipe:
            pipe.llen(queue()).hlen("unacked")
            if "quarantine" in self.cluster.processes:
                pipe.llen(names.quarantine_queue("u2netp"))
            return not any(pipe.execute())

    def audit(self, spec: BatchSpec) -> dict[str, int]:
        """Have `cutout audit` check the closed batch; return its counts."""
        until(self.quiet, 60)
        answer = self.cutout("audit", spec.id, "--json")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        counts: dict[str, int] = json.loads(answer.stdout.splitlines()[-1])
        assert counts["done"] + counts["skipped"] + counts["failed"] == counts["total"]
        return counts

    def passed(
        self, spec: BatchSpec, injected: str, bound: float, measured: float, unit: str = "s"
    ) -> dict[str, int]:
        """Audit, and write the row. Bounds decide in the full form alone."""
        counts = self.audit(spec)
        self.row(spec, injected, bound, measured, unit, counts)
        return counts

    def row(
        self, spec: BatchSpec, injected: str, bound: float, measured: float, unit: str,
        counts: dict[str, int],
    ) -> None:  # fmt: skip
        lost = spec.total - counts["done"] - counts["skipped"] - counts["failed"]
        kept = lost == 0 and (measured <= bound or not self.full)
        values = (
            self.name, injected, f"{bound:g} {unit}", f"{measured:.3g} {unit}", str(lost),
            str(counts["duplicates"]), "held" if kept else "BROKEN",
        )  # fmt: skip
        self.note("drill", values)
        assert kept, values


def consumes_again(drill: Drill, workers: dict[str, Callable[[], int]], since: float) -> float:
    """Wait until every worker has settled an image more; return how long after that moment."""
    before = {name: count() for name, count in workers.items()}
    until(lambda: all(count() > before[name] for name, count in workers.items()), 120, pause=0.1)
    return time.monotonic() - since


def queue() -> str:
    return names.bulk_queue("u2netp")


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
    return "\n".join(lines) + "\n"
