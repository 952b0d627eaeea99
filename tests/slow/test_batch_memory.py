"""The verbs that read every line of a batch need no more memory for a larger one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.generated_batch import generate, peak_megabytes
from support.services import until

from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Status

SIZES = (10_000, 100_000)
FLAT_MB = 25
"""What 90,000 more lines may add: bits, a byte per line for the audit, and noise of the allocator.
Kept in memory, as they once were, the lines of a retry added 180 MB, those of an audit 40 MB."""


class Verbs:
    def __init__(self, ledger: RedisLedger, folder: Path, env: dict[str, str]) -> None:
        self.ledger = ledger
        self.folder = folder
        self.env = env

    def run(self, *arguments: str, until: Callable[[], object] | None = None) -> float:
        return peak_megabytes(*arguments, env=self.env, until=until)

    def closed(self, batch: str) -> None:
        until(lambda: self.ledger.batches.progress(batch).state == "closed", 300)

    def measure(self, total: int) -> dict[str, float]:
        failed = generate(self.ledger, self.folder / f"{total}", total, Status.FAILED, total).id
        peaks = {
            "report": self.run("report", failed),
            "parquet": self.run("report", failed, "--format", "parquet"),
            "dispatch": self.run("dispatch", until=lambda: self.closed(failed)),
            "audit": self.run("audit", failed),
            "retry": self.run("retry", failed),
        }
        assert self.ledger.batches.progress(failed).failed == 0
        self.ledger.batches.forget(failed)
        peaks["rebuild"] = self.run("rebuild", failed, str(self.folder / f"{total}" / "out"))
        assert self.ledger.batches.progress(failed).failed == total
        self.ledger.batches.forget(failed)
        fresh = generate(self.ledger, self.folder / f"{total}b", total, None, total + 1).id
        self.ledger.batches.cancel(fresh)
        peaks["cancel"] = self.run("dispatch", until=lambda: self.closed(fresh))
        assert self.ledger.batches.progress(fresh).failed == total
        return peaks


@pytest.mark.long
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_batch(
    ledger: RedisLedger, redis_server, tmp_path: Path
) -> None:
    verbs = Verbs(ledger, tmp_path, os.environ | {"CUTOUT_REDIS_URL": redis_server.url})
    small, large = (verbs.measure(total) for total in SIZES)
    grown = {verb: round(large[verb] - peak) for verb, peak in small.items()}
    assert {verb: more for verb, more in grown.items() if more > FLAT_MB} == {}, (small, large)
    assert max(large.values()) < 150
