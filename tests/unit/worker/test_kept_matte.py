"""A kept matte is one more output, and what is made later is made from it without inference."""

import io
from pathlib import Path

import pytest
from PIL import Image
from support.one_worker import BATCH, OTHER_BATCH, Worker, fail_rendition, keys

from contract.errors import ErrorCode
from contract.outcome import Outcome, Status
from contract.policy import Policy
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import open_store
from contract.storage.files import FileStore
from worker.failure import DeferredError

KEEPING = Recipe(model="u2netp", keep_matte=True)
WHITE = Rendition(name="white", format="jpg", background="#ffffff")
WHITE_AND_MATTE = Recipe(model="u2netp", keep_matte=True, renditions=(WHITE,))


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def run(worker: Worker, recipe: Recipe = KEEPING, batch: str = BATCH, **fields) -> Outcome:
    etag = open_store(worker.source.as_uri()).head("a.png").etag
    worker.job = worker.open(batch, recipe=recipe, etag=etag, **fields)
    return worker.process()


def matte(worker: Worker) -> Path:
    return worker.folder / "out/a.matte.png"


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def replace_matte(worker: Worker, data: bytes) -> None:
    """Write other bytes, as if they were the matte that cutout has made."""
    store = open_store((worker.folder / "out").as_uri())
    head = store.head("a.matte.png")
    store.put("a.matte.png", data, "image/png", head.metadata)


def test_the_matte_is_an_output_beside_the_rendition(worker: Worker):
    outcome = run(worker)
    assert keys(outcome) == ["a.png", "a.matte.png"]
    assert [output.name for output in outcome.outputs] == ["", "matte"]
    with Image.open(matte(worker)) as image:
        assert (image.mode, image.size) == ("L", (60, 40))
        assert outcome.outputs[1].bytes == matte(worker).stat().st_size
        assert image.getbbox() == (10, 10, 30, 20)
    again = run(worker, batch=OTHER_BATCH)
    assert (again.status, keys(again)) == (Status.SKIPPED, ["a.png", "a.matte.png"])


def test_a_further_rendition_needs_no_inference_and_is_the_same(worker: Worker, tmp_path: Path):
    run(worker)
    outcome = run(worker, WHITE_AND_MATTE, OTHER_BATCH)
    assert (outcome.status, worker.model.runs) == (Status.DONE, 1)
    assert keys(outcome) == ["a.jpg", "a.matte.png"]
    assert [output.bytes > 0 for output in outcome.outputs] == [True, False]
    (tmp_path / "other").mkdir()
    other = Worker(tmp_path / "other")
    run(other, WHITE_AND_MATTE)
    made, expected = worker.folder / "out/a.jpg", other.folder / "out/a.jpg"
    assert made.read_bytes() == expected.read_bytes()


def test_of_a_photograph_with_transparency_too(worker: Worker, tmp_path: Path):
    photograph = Image.new("RGBA", (60, 40), (255, 0, 0, 128))
    photograph.save(worker.source / "a.png")
    first = run(worker)
    again = run(
        worker, Recipe(model="u2netp", keep_matte=True, renditions=(Rendition(name="x", size=9),)),
        OTHER_BATCH, force=False,
    )  # fmt: skip
    assert (again.status, worker.model.runs) == (Status.DONE, 1)
    with Image.open(worker.folder / "out/a.png") as image:
        assert image.getchannel("A").getextrema() == (0, 128)
    assert first.foreground == again.foreground


def test_doubts_are_known_without_inference(worker: Worker, monkeypatch):
    doubts = (ErrorCode.AMBIGUOUS_SUBJECT, ErrorCode.SUBJECT_CUT_BY_FRAME)
    original = type(worker.model).matte

    def doubtful(model, *arguments):
        return type(original(model, *arguments))(original(model, *arguments).alpha, doubts)

    monkeypatch.setattr(type(worker.model), "matte", doubtful)
    assert run(worker).doubts == [*doubts]
    monkeypatch.setattr(type(worker.model), "matte", original)
    runs = worker.model.runs
    assert run(worker, batch=OTHER_BATCH).doubts == [*doubts]  # skipped
    assert run(worker, WHITE_AND_MATTE, "b-20260101-000000-cccccc").doubts == [*doubts]
    failing = WHITE_AND_MATTE.model_copy(update={"policy": Policy(ambiguous_subject="fail")})
    refused = run(worker, failing, "b-20260101-000000-dddddd")
    assert (refused.status, refused.code) == (Status.FAILED, doubts[0])
    assert worker.model.runs == runs


def other_photograph(worker: Worker) -> None:
    Image.new("RGB", (60, 40), "blue").save(worker.source / "a.png")


def foreign_object(worker: Worker) -> None:
    store = open_store((worker.folder / "out").as_uri())
    store.put("a.matte.png", png(Image.new("L", (60, 40))), "image/png", {})


def other_weights(worker: Worker) -> None:
    worker.model.sha256 = "1" * 64


UNUSABLE = {
    "the photograph was changed": other_photograph,
    "it was deleted": lambda worker: open_store((worker.folder / "out").as_uri()).delete(
        "a.matte.png"
    ),
    "another program wrote it": foreign_object,
    "other weights made it": other_weights,
    "it is cut short": lambda worker: replace_matte(worker, matte(worker).read_bytes()[:-20]),
    "it is no picture": lambda worker: replace_matte(worker, b"<html>"),
    "it has another size": lambda worker: replace_matte(worker, png(Image.new("L", (61, 40)))),
    "it has another mode": lambda worker: replace_matte(worker, png(Image.new("RGB", (60, 40)))),
}


@pytest.mark.parametrize("harm", UNUSABLE.values(), ids=UNUSABLE)
def test_if_the_matte_cannot_be_used_it_is_made_again(worker: Worker, harm):
    run(worker)
    before = png(Image.open(matte(worker)))
    harm(worker)
    outcome = run(worker, WHITE_AND_MATTE, OTHER_BATCH)
    assert (outcome.status, worker.model.runs) == (Status.DONE, 2)
    assert [output.bytes > 0 for output in outcome.outputs] == [True, True]
    assert png(Image.open(matte(worker))) == before


def test_a_matte_that_was_replaced_since_the_check_is_not_used(worker: Worker, monkeypatch):
    run(worker)
    get = FileStore.get

    def replaced(store, key, *arguments):
        if key == "a.matte.png":
            replace_matte(worker, png(Image.new("L", (60, 40), 255)))
        return get(store, key, *arguments)

    monkeypatch.setattr(FileStore, "get", replaced)
    worker.configure(retry_budget=0)
    outcome = run(worker, WHITE_AND_MATTE, OTHER_BATCH)
    assert worker.model.runs == 2
    # it belongs to another attempt, which is not overwritten
    assert (outcome.status, keys(outcome)) == (Status.FAILED, ["a.jpg"])


def test_with_force_it_is_made_again(worker: Worker):
    run(worker)
    run(worker, WHITE_AND_MATTE, OTHER_BATCH, force=True)
    assert worker.model.runs == 2


def test_without_keep_matte_none_is_read(worker: Worker):
    run(worker)
    run(worker, Recipe(model="u2netp", renditions=(WHITE,)), OTHER_BATCH)
    assert worker.model.runs == 2


def test_a_retry_of_one_rendition_uses_it(worker: Worker, monkeypatch):
    two = Recipe(model="u2netp", keep_matte=True, renditions=(Rendition(name="alpha"), WHITE))
    fail_rendition(monkeypatch, "white", MemoryError())
    with pytest.raises(DeferredError):
        run(worker, two)
    monkeypatch.undo()
    outcome = worker.process()
    assert (outcome.status, outcome.attempts, worker.model.runs) == (Status.DONE, 2, 1)
    assert keys(outcome) == ["a.alpha.png", "a.white.jpg", "a.matte.png"]


@pytest.mark.slow
def test_a_deceptive_matte_is_not_unpacked(worker: Worker):
    run(worker)
    replace_matte(worker, png(Image.new("L", (3000, 3000))))
    assert run(worker, WHITE_AND_MATTE, OTHER_BATCH).status is Status.DONE
    assert worker.model.runs == 2
