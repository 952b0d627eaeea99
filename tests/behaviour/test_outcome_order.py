"""Which of several rows of a line is the present one, when Redis' clock cannot be trusted."""

import time
from pathlib import Path

import pytest

from contract import names
from contract.batch import BatchSpec
from contract.errors import ErrorCode
from contract.job import ManifestLine
from contract.ledger import Ledger
from contract.ledger.memory import MemoryLedger
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.storage import batch_files, open_store
from producer.batches import control
from producer.batches.drain import drain
from producer.batches.rebuild import rebuild
from producer.batches.report.rows import current, failures

HOUR = 3600


class Clock:
    """The clock by which the ledger numbers its rows."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._offset = 0.0
        self.ledger: Ledger = MemoryLedger(lambda: time.time() + self._offset)
        if request.param == "redis":
            self.ledger = RedisLedger(request.getfixturevalue("redis_server").url)

    def advance(self, batch: str, seconds: float) -> None:
        """Give the next rows of a batch IDs of the future: Redis never numbers a stream backwards.

        A stream that was deleted, as when its batch is closed, starts at Redis' own clock again.
        """
        self._offset = seconds
        if isinstance(self.ledger, RedisLedger):
            redis, key = self.ledger.connection.client, names.redis_key(batch, "outcomes")
            row = redis.xadd(key, {"row": "{}"}, id=f"{int((time.time() + seconds) * 1000)}-0")
            redis.xdel(key, row)


@pytest.fixture(params=["redis", "memory"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return Clock(request)


@pytest.fixture
def spec(clock: Clock, tmp_path: Path) -> BatchSpec:
    """An open batch of three lines."""
    spec = BatchSpec(
        id="b-20260101-000000-000000", source="file:///in", destination=f"file://{tmp_path}",
        recipe=Recipe(model="u2netp"), created=time.time(), total=3, segment_lines=10_000,
    )  # fmt: skip
    lines = [ManifestLine(key=f"{n}.jpg", size=1, etag="e").model_dump_json() for n in range(3)]
    batch_files.write_spec(spec)
    batch_files.write_manifest_segment(open_store(spec.destination), spec.id, 0, lines)
    clock.ledger.batches.register(spec)
    clock.ledger.batches.open(spec.id)
    return spec


def settle(
    ledger: Ledger, spec: BatchSpec, status: Status, *lines: int, code: ErrorCode | None = None
) -> None:
    rows = [Outcome(line=n, key=f"{n}.jpg", status=status, code=code) for n in lines]
    assert ledger.lines.finish_all(spec.id, rows) == len(lines)


def statuses(ledger: Ledger, spec: BatchSpec) -> dict[int, str]:
    return {row.line: row.status.value for row in current(ledger, spec)}


def close(ledger: Ledger, spec: BatchSpec) -> None:
    while drain(ledger, spec):
        pass
    assert ledger.batches.lease_report(spec.id, "d", 60)
    assert ledger.batches.close(spec.id, ledger.batches.progress(spec.id).epoch, "d")


def test_a_failover_to_a_slower_clock_lets_no_old_failure_win(
    clock: Clock, spec: BatchSpec
) -> None:
    ledger = clock.ledger
    clock.advance(spec.id, HOUR)
    settle(ledger, spec, Status.DONE, 0)
    settle(ledger, spec, Status.FAILED, 1, 2, code=ErrorCode.ACCESS_DENIED)
    close(ledger, spec)
    assert control.retry(ledger, spec.id) == 2

    clock.advance(spec.id, 0)
    settle(ledger, spec, Status.DONE, 1)
    settle(ledger, spec, Status.FAILED, 2, code=ErrorCode.NOT_AN_IMAGE)
    close(ledger, spec)

    prefix = names.outcomes_prefix(spec.id)
    early, late = sorted(item.key for item in open_store(spec.destination).list(prefix))
    assert early.rpartition("_")[2] > late.rpartition("_")[2]  # the clock went backwards
    assert statuses(ledger, spec) == {0: "done", 1: "done", 2: "failed"}
    failed = [(row.line, row.code) for row in failures(ledger, spec)]
    assert failed == [(2, ErrorCode.NOT_AN_IMAGE)]
    assert control.retry(ledger, spec.id, ErrorCode.ACCESS_DENIED) == 0
    assert control.retry(ledger, spec.id, ErrorCode.NOT_AN_IMAGE) == 1


def test_a_batch_rebuilt_after_that_has_the_latest_outcomes_too(
    clock: Clock, spec: BatchSpec
) -> None:
    ledger = clock.ledger
    clock.advance(spec.id, HOUR)
    settle(ledger, spec, Status.FAILED, 0, 1, 2)
    close(ledger, spec)
    control.retry(ledger, spec.id)
    clock.advance(spec.id, 0)
    settle(ledger, spec, Status.DONE, 0, 1, 2)
    close(ledger, spec)
    ledger.batches.forget(spec.id)
    assert rebuild(ledger, spec.id, spec.destination) == (spec, 3)
    progress = ledger.batches.progress(spec.id)
    assert (progress.done, progress.failed, progress.epoch) == (3, 0, 1)


def test_of_two_rows_of_one_epoch_the_ledger_says_which_counts(
    clock: Clock, spec: BatchSpec
) -> None:
    """Redis lost the first settling of each line, whose row was already drained."""
    ledger = clock.ledger
    settle(ledger, spec, Status.FAILED, 0, 1, 2)
    assert drain(ledger, spec)
    ledger.batches.restore(spec, b"", b"", dict.fromkeys(Status, 0))
    ledger.batches.open(spec.id)
    settle(ledger, spec, Status.DONE, 0)
    settle(ledger, spec, Status.FAILED, 1)
    assert statuses(ledger, spec) == {0: "done", 1: "failed"}
    assert drain(ledger, spec)
    assert statuses(ledger, spec) == {0: "done", 1: "failed"}
