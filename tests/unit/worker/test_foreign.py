"""Messages of another release, with a ledger in memory."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from celery.exceptions import Reject

from contract.batch import BatchSpec
from contract.errors import ErrorCode, RetryableError
from contract.job import ImageJob, ManifestLine
from contract.ledger import ClaimRefused
from contract.ledger.memory import MemoryLedger
from contract.outcome import Status
from contract.recipe import PIPELINE, Recipe
from contract.settings import Settings
from worker.failure import DeferredError
from worker.fetch import fetch
from worker.foreign import ForeignJob
from worker.process import process
from worker.tasks import _parse

BATCH = "b-20260101-000000-aaaaaa"
MODEL = "u2netp"
JOB = ImageJob(
    batch=BATCH, line=0, source="file:///in", destination="file:///out",
    photograph=ManifestLine(key="a.jpg", size=1, etag="1"), recipe=Recipe(model=MODEL),
)  # fmt: skip


@dataclass
class Worker:
    clock: float = 1000.0
    ledger: MemoryLedger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(clock=lambda: self.clock)
        self.ledger.batches.register(
            BatchSpec(
                id=BATCH, source="file:///in", destination="file:///out",
                recipe=Recipe(model=MODEL, pipeline=PIPELINE + 1), created=0, total=1,
                segment_lines=1,
            )
        )  # fmt: skip
        self.ledger.batches.open(BATCH)
        self.ledger.lines.issue(BATCH, 1, 1, 60)
        self.runtime = SimpleNamespace(
            config=Settings(retry_budget=2), ledger=self.ledger, quarantine=False,
            token_prefix="worker-1:", worker="w@host",
        )  # fmt: skip

    def receive(self, message: dict[str, object]):
        job = _parse(message, MODEL, "task")
        assert isinstance(job, ForeignJob)
        return process(job, self.runtime)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def message(**fields: object) -> dict[str, object]:
    return JOB.model_dump(mode="json") | fields


FOREIGN = {
    "pipeline": {"recipe": {"model": MODEL, "pipeline": PIPELINE + 1}},
    "model": {"recipe": {"model": "u2net", "pipeline": PIPELINE}},
    "new field": {"blur": 3},
    "new field of the recipe": {"recipe": {"model": MODEL, "pipeline": PIPELINE, "blur": 3}},
    "version": {"version": 2},
    "lost field": {"source": None},
}


@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN)
def test_a_message_of_another_release_is_put_off_for_a_worker_that_reads_it(
    worker: Worker, fields
) -> None:
    with pytest.raises(DeferredError, match="release_mismatch"):
        worker.receive(message(**fields))
    progress = worker.ledger.batches.progress(BATCH)
    assert (progress.deferred, progress.issued) == (1, 1)


def test_a_message_that_only_other_releases_receive_fails_after_the_usual_retries(
    worker: Worker,
) -> None:
    for _ in range(worker.runtime.config.retry_budget):
        with pytest.raises(DeferredError):
            worker.receive(message(version=2))
        worker.clock += 300
    outcome = worker.receive(message(version=2))
    assert (outcome.status, outcome.code, outcome.attempts) == (
        Status.FAILED, ErrorCode.EXHAUSTED, 3,
    )  # fmt: skip
    assert outcome.message.startswith("3 attempts failed with release_mismatch: ")
    snapshot = worker.ledger.batches.snapshot(BATCH, ("", ""))
    assert snapshot.progress.failed == 1
    assert {(result.code, result.worker) for result in snapshot.recent_results} == {
        (ErrorCode.RELEASE_MISMATCH, "w@host")
    }
    assert worker.receive(message(version=2)) == ClaimRefused("settled")


def test_a_message_of_this_release_is_a_job() -> None:
    assert _parse(message(), MODEL, "task") == JOB


@pytest.mark.parametrize(
    "junk", [{}, message(batch="../x", version=2), message(line=-1), message(photograph={})]
)
def test_a_message_that_names_no_line_is_dropped(junk) -> None:
    with pytest.raises(Reject):
        _parse(junk, MODEL, "task")


def test_a_url_in_fields_of_a_newer_release_is_left_to_another_worker(tmp_path) -> None:
    (tmp_path / "fields.json").write_text('{"url": "https://a.example/a.jpg", "glow": 3}')
    photograph = ManifestLine(key="fields.json", size=1, etag="1")
    update = {"source": f"file://{tmp_path}", "photograph": photograph, "source_is_url": True}
    with pytest.raises(RetryableError) as caught:
        fetch(JOB.model_copy(update=update), Settings())
    assert caught.value.code is ErrorCode.RELEASE_MISMATCH
