"""What drills share: fill a catalogue, wait for a batch, audit it, report the measurement."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract import names
from contract.batch import BatchSpec, Progress
from contract.outcome import Outcome
from contract.recipe import Recipe
from contract.storage.batch_files import manifest_lines
from producer.batches.report.rows import current
from support.catalogue import photograph
from support.cluster import Cluster
from support.services import until
from worker.audit import audit

COUNTS = ("done", "skipped", "failed", "duplicates")
COLUMNS = ("drill", "injected", "bound", "measured", "lost", "duplicated", "verdict")


@dataclass
class Drill:
    """A cluster with a stand-in network, its catalogue, and the row of the drills' table."""

    name: str
    full: bool
    """True: the long form, of `make drills`, in which exceeding the bound fails the drill"""
    cluster: Cluster
    catalogue: Path
    out: Path
    note: Callable[[str, object], None]
    """pytest's `record_property`: adds a row to the test's report, from which the table is made"""
    close_seconds: float = 180
    """how long a batch may take to close"""
    locations: tuple[str, str] | None = None
    """source and destination of the batch; None: the folders `catalogue` and `out`"""

    def size(self, short: int, full: int) -> int:
        return full if self.full else short

    def fill(self, count: int) -> None:
        """Put photographs into the catalogue: 20 different ones, the rest are copies of them."""
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

    def submit(self, **options: bool | Recipe) -> BatchSpec:
        return self.cluster.submit(*(self.locations or (self.catalogue, self.out)), **options)

    def line_of(self, spec: BatchSpec, key: str) -> int:
        return next(n for n, line in enumerate(manifest_lines(spec, 0)) if line.key == key)

    def progress(self, spec: BatchSpec) -> Progress:
        return self.cluster.ledger.batches.progress(spec.id)

    def settled(self, spec: BatchSpec, count: int, seconds: float = 120) -> float:
        """Wait until `count` lines are settled; return the seconds that took."""
        start = time.monotonic()
        until(lambda: self.progress(spec).settled >= count, seconds, pause=0.05)
        return time.monotonic() - start

    def paused(self, spec: BatchSpec, seconds: float = 120) -> Progress:
        return until(lambda: self._in(spec, "paused"), seconds, pause=0.05)

    def _in(self, spec: BatchSpec, state: str) -> Progress | None:
        progress = self.progress(spec)
        return progress if progress.state == state else None

    def closed(self, spec: BatchSpec, seconds: float = 0) -> Progress:
        return until(lambda: self.cluster.closed(spec), seconds or self.close_seconds)

    def outcomes(self, spec: BatchSpec) -> dict[str, Outcome]:
        """Return the outcomes of the settled lines by object key."""
        return {row.key: row for row in current(self.cluster.ledger, spec)}

    def cutout(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line."""
        command = [sys.executable, "-m", "producer", *arguments]
        env = self.cluster.environment()
        return subprocess.run(command, check=False, capture_output=True, text=True, env=env)

    def quiet(self) -> bool:
        """Return whether the broker is empty: late copies of messages are consumed too."""
        with self.cluster.ledger.connection.client.pipeline() as pipe:
            pipe.llen(queue()).hlen("unacked")
            if "quarantine" in self.cluster.processes:
                pipe.llen(names.quarantine_queue("u2netp"))
            return not any(pipe.execute())

    def stays_quiet(self) -> bool:
        """Return whether the broker is and stays empty.

        While a worker receives a message, it is for a moment neither in the queue nor
        unacknowledged.
        """
        if not self.quiet():
            return False
        time.sleep(0.5)
        return self.quiet()

    def audit(self, spec: BatchSpec, share: float = 1) -> dict[str, int]:
        """Audit the closed batch as `cutout audit` does; return its counts.

        `share`: of the images, those whose outputs are read.
        """
        until(self.stays_quiet)
        ledger = self.cluster.ledger
        findings = list(audit(ledger, spec.id, share))
        assert not findings, findings
        progress = ledger.batches.progress(spec.id)
        counts = {name: getattr(progress, name) for name in COUNTS}
        assert counts["done"] + counts["skipped"] + counts["failed"] == spec.total
        return counts

    def passed(
        self, spec: BatchSpec, injected: str, bound: float, measured: float, unit: str = "s"
    ) -> dict[str, int]:
        """Audit the batch and add the row; return the audit's counts."""
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


def queue() -> str:
    return names.bulk_queue("u2netp")


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ("---",) * len(COLUMNS), *rows)]
    return "\n".join(lines) + "\n"
