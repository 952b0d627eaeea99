"""Outputs that a user should look at lie below `_review/`, and the report says why."""

from pathlib import Path

import pytest
from PIL import Image
from support.one_worker import BATCH, OTHER_BATCH, Worker, keys

from contract.batch import BatchSpec
from contract.errors import ErrorCode
from contract.outcome import Outcome, Status
from contract.policy import Policy
from contract.presets import PRESETS
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import open_store
from worker.audit.findings import Fault
from worker.audit.outputs import check_outputs

NONE, CUT = ErrorCode.NO_SUBJECT, ErrorCode.SUBJECT_CUT_BY_FRAME
ALPHA = Rendition(name="alpha")
AMAZON = PRESETS["amazon-main"].rendition
DOUBTFUL = Recipe(
    model="u2netp", policy=Policy(no_subject="review"), renditions=(ALPHA, AMAZON), keep_matte=True
)
PRESET = Recipe(model="u2netp", policy=Policy(preset_failed="review"), renditions=(ALPHA, AMAZON))


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def run(worker: Worker, recipe: Recipe, batch: str = BATCH, **fields) -> Outcome:
    etag = open_store(worker.source.as_uri()).head("a.png").etag
    worker.job = worker.open(batch, recipe=recipe, etag=etag, **fields)
    return worker.process()


def doubt(worker: Worker, monkeypatch, *doubts: ErrorCode) -> None:
    original = type(worker.model).matte

    def doubtful(model, *arguments):
        matte = original(model, *arguments)
        return type(matte)(matte.alpha, doubts)

    monkeypatch.setattr(type(worker.model), "matte", doubtful)


def reasons(outcome: Outcome) -> list[ErrorCode | None]:
    return [output.review for output in outcome.outputs]


def files(worker: Worker) -> set[str]:
    out = worker.folder / "out"
    paths = [path.relative_to(out) for path in out.rglob("*.*") if path.is_file()]
    return {path.as_posix() for path in paths if path.parts[0] != "_cutout"}


def findings(worker: Worker, outcome: Outcome) -> list[Fault]:
    job = worker.job
    spec = BatchSpec(
        id=job.batch, source=job.source, destination=job.destination, recipe=job.recipe,
        created=0, total=1, segment_lines=1,
    )  # fmt: skip
    etag = outcome.source_etag or job.photograph.etag
    checked = outcome.model_copy(update={"source_etag": etag})
    return [finding.fault for finding in check_outputs(spec, [checked])]


def test_renditions_of_a_doubtful_photograph_go_to_review(worker: Worker, monkeypatch):
    doubt(worker, monkeypatch, NONE)
    outcome = run(worker, DOUBTFUL.model_copy(update={"renditions": (ALPHA,)}))
    assert (outcome.status, outcome.doubts) == (Status.DONE, [NONE])
    # the matte is nothing to look at
    assert keys(outcome) == ["_review/a.png", "a.matte.png"]
    assert reasons(outcome) == [NONE, None]
    assert files(worker) == {"_review/a.png", "a.matte.png"}
    assert findings(worker, outcome) == []
    (worker.folder / "out/_review/a.png").unlink()
    assert findings(worker, outcome) == [Fault.OUTPUT_MISSING]


def test_other_doubts_do_not(worker: Worker, monkeypatch):
    doubt(worker, monkeypatch, CUT)
    outcome = run(worker, DOUBTFUL.model_copy(update={"renditions": (ALPHA,)}))
    assert (outcome.doubts, reasons(outcome)) == ([CUT], [None, None])
    assert files(worker) == {"a.png", "a.matte.png"}


def test_a_file_that_fails_its_preset_goes_to_review_alone(worker: Worker):
    outcome = run(worker, PRESET)
    assert (outcome.status, outcome.code) == (Status.DONE, None)
    assert keys(outcome) == ["a.alpha.png", "_review/a.amazon-main.jpg"]
    assert reasons(outcome) == [None, ErrorCode.PRESET_FAILED]
    assert [output.preset for output in outcome.outputs] == ["", ""]
    assert files(worker) == {"a.alpha.png", "_review/a.amazon-main.jpg"}
    assert findings(worker, outcome) == []


def test_what_lies_in_review_is_current_there(worker: Worker):
    first = run(worker, PRESET)
    again = run(worker, PRESET, OTHER_BATCH)
    assert (again.status, worker.model.runs) == (Status.SKIPPED, 1)
    assert (keys(again), reasons(again)) == (keys(first), reasons(first))
    assert [output.preset for output in again.outputs] == ["", ""]
    forced = run(worker, PRESET, "b-20260101-000000-cccccc", force=True)
    assert (forced.status, keys(forced), worker.model.runs) == (Status.DONE, keys(first), 2)
    # another policy is another recipe
    delivered = PRESET.model_copy(update={"policy": Policy()})
    failed = run(worker, delivered, "b-20260101-000000-dddddd")
    assert (failed.status, failed.code) == (Status.FAILED, ErrorCode.PRESET_FAILED)


def test_doubts_about_an_earlier_photograph_are_forgotten(worker: Worker, monkeypatch):
    recipe = DOUBTFUL.model_copy(update={"renditions": (ALPHA,)})
    doubt(worker, monkeypatch, NONE)
    run(worker, recipe)
    further = DOUBTFUL.model_copy(update={"renditions": (ALPHA, Rendition(name="b", size=1))})
    worker.job = worker.open(OTHER_BATCH, recipe=further, etag=worker.job.photograph.etag)
    (worker.source / "a.png").write_bytes(b"<html>")
    outcome = worker.process()
    assert (outcome.status, outcome.code) == (Status.FAILED, ErrorCode.NOT_AN_IMAGE)
    assert (outcome.doubts, outcome.outputs) == ([], [])


def test_a_better_photograph_is_delivered(worker: Worker, monkeypatch):
    recipe = DOUBTFUL.model_copy(update={"renditions": (ALPHA,)})
    doubt(worker, monkeypatch, NONE)
    run(worker, recipe)
    monkeypatch.undo()
    Image.new("RGB", (60, 40), "blue").save(worker.source / "a.png")
    outcome = run(worker, recipe, OTHER_BATCH)
    assert (keys(outcome), reasons(outcome)) == (["a.png", "a.matte.png"], [None, None])
    assert findings(worker, outcome) == []


def test_the_attempt_after_a_killed_one_finds_it(worker: Worker, monkeypatch):
    class Killed(BaseException):
        """The process dies here."""

    def killed(*_):
        raise Killed

    monkeypatch.setattr(type(worker.ledger.lines), "finish", killed)
    with pytest.raises(Killed):
        run(worker, PRESET)
    monkeypatch.undo()
    worker.clock += 1000
    outcome = worker.process()
    assert (outcome.status, outcome.attempts, worker.model.runs) == (Status.DONE, 2, 1)
    assert keys(outcome) == ["a.alpha.png", "_review/a.amazon-main.jpg"]
