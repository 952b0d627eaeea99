"""A recipe with several renditions: one decode, one matte, and each output fails alone."""

from pathlib import Path

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image
from structlog.testing import capture_logs
from support.one_worker import BATCH, CUTOUT, OTHER_BATCH, Worker, fail_rendition, keys, raising

from contract import names
from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.job import ImageJob
from contract.outcome import Status
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import open_store
from contract.storage.files import FileStore
from worker import encoding, process
from worker.failure import DeferredError

ALPHA = Rendition(name="alpha")
WHITE = Rendition(name="white", format="jpg", background="#ffffff")
THUMB = Rendition(name="thumb", format="webp", max_side=30)
THREE = Recipe(model="u2netp", renditions=(ALPHA, WHITE, THUMB))
KEYS = ["a.alpha.png", "a.white.jpg", "a.thumb.webp"]


def open_batch(worker: Worker, batch: str, recipe: Recipe = THREE, **fields) -> ImageJob:
    """Open a batch with the photograph as it is now."""
    etag = open_store(worker.source.as_uri()).head("a.png").etag
    return worker.open(batch, recipe=recipe, etag=etag, **fields)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    worker = Worker(tmp_path)
    worker.job = open_batch(worker, OTHER_BATCH)
    return worker


@pytest.fixture
def decoded(monkeypatch) -> list[bytes]:
    """The photographs that are decoded."""
    photographs: list[bytes] = []

    def decode(data: bytes, *arguments, **options):
        photographs.append(data)
        return original(data, *arguments, **options)

    original = process.decode
    monkeypatch.setattr(process, "decode", decode)
    return photographs


def written(worker: Worker) -> set[str]:
    out = worker.folder / "out"
    return {path.name for path in out.glob("a.*")} if out.exists() else set()


def reopen(worker: Worker) -> None:
    worker.ledger.batches.reopen(worker.job.batch, [0], "")
    worker.ledger.batches.open(worker.job.batch)


def test_all_are_made_from_one_decode_and_one_matte(worker: Worker, decoded):
    outcome = worker.process()
    assert (outcome.status, keys(outcome)) == (Status.DONE, KEYS)
    assert (len(decoded), worker.model.runs) == (1, 1)
    out = worker.folder / "out"
    for output, form, size in zip(
        outcome.outputs, ("PNG", "JPEG", "WEBP"), [(60, 40)] * 2 + [(30, 20)], strict=True
    ):
        with Image.open(out / output.key) as image:
            assert (image.format, image.size, (output.width, output.height)) == (form, size, size)
        assert output.bytes == (out / output.key).stat().st_size
    assert [output.name for output in outcome.outputs] == ["alpha", "white", "thumb"]
    assert outcome.bytes_written == sum(output.bytes for output in outcome.outputs)


def test_a_rendition_has_the_bytes_that_it_has_alone(worker: Worker):
    worker.process()
    for rendition, key in zip(THREE.renditions, KEYS, strict=True):
        together = (worker.folder / "out" / key).read_bytes()
        worker.job = open_batch(
            worker,
            f"b-20260101-000000-0000{THREE.renditions.index(rendition)}0",
            recipe=Recipe(model="u2netp", renditions=(rendition,)),
        )
        [alone] = keys(worker.process())
        assert (worker.folder / "out" / alone).read_bytes() == together


FORMS = {
    "zip": {"format": "zip"}, "avif": {"format": "avif"}, "blur": {"background": "blur"},
    "matte": {"channels": "alpha"}, "region": {"roi": ("0px", "0px", "20px", "20px")},
    "crop": {"crop": True, "format": "webp"}, "shadow": {"shadow": "contact", "format": "jpg"},
    "translucent": {"background": "#ff000080"},
}  # fmt: skip


@pytest.mark.slow
def test_every_form_has_the_bytes_that_it_has_alone(worker: Worker):
    forms = tuple(Rendition(name=name, **fields) for name, fields in FORMS.items())
    worker.job = open_batch(
        worker, "b-20260101-000000-0000ff", recipe=Recipe(model="u2netp", renditions=forms)
    )
    together = keys(worker.process())
    for number, (rendition, key) in enumerate(zip(forms, together, strict=True)):
        worker.job = open_batch(
            worker,
            f"b-20260101-000000-00000{number}",
            recipe=Recipe(model="u2netp", renditions=(rendition,)),
        )
        [alone] = keys(worker.process())
        out = worker.folder / "out"
        assert (out / alone).read_bytes() == (out / key).read_bytes(), rendition.name


def test_a_further_rendition_is_made_alone(worker: Worker, decoded):
    worker.job = open_batch(worker, BATCH, recipe=Recipe(model="u2netp", renditions=(ALPHA, THUMB)))
    worker.process()
    before = {key: (worker.folder / "out" / key).stat().st_mtime_ns for key in written(worker)}
    worker.job = open_batch(worker, "b-20260101-000000-cccccc", recipe=THREE)
    outcome = worker.process()
    assert (outcome.status, keys(outcome)) == (Status.DONE, KEYS)
    assert [output.bytes > 0 for output in outcome.outputs] == [False, True, False]
    assert len(decoded) == 2
    after = {key: (worker.folder / "out" / key).stat().st_mtime_ns for key in before}
    assert after == before

    worker.job = open_batch(worker, "b-20260101-000000-dddddd", recipe=THREE)
    assert worker.process().status is Status.SKIPPED
    assert len(decoded) == 2


def test_with_force_all_are_made_again(worker: Worker, decoded):
    worker.process()
    worker.job = open_batch(worker, "b-20260101-000000-cccccc", recipe=THREE, force=True)
    outcome = worker.process()
    assert (outcome.status, len(decoded)) == (Status.DONE, 2)
    assert all(output.bytes for output in outcome.outputs)


def test_the_name_and_the_key_of_a_rendition_do_not_make_it_outdated(worker: Worker, decoded):
    worker.process()
    named = Rendition(name="shop", key="{stem}.thumb.{ext}", format="webp", max_side=30)
    worker.job = open_batch(
        worker, "b-20260101-000000-cccccc", recipe=Recipe(model="u2netp", renditions=(named,))
    )
    assert (worker.process().status, len(decoded)) == (Status.SKIPPED, 1)


def test_one_that_fails_fails_alone_and_by_name(worker: Worker, monkeypatch, decoded):
    error = PermanentError(ErrorCode.OUTPUT_TOO_LARGE, "It has 2 MB.")
    fail_rendition(monkeypatch, "white", error)
    outcome = worker.process()
    assert (outcome.status, outcome.code) == (Status.FAILED, ErrorCode.OUTPUT_TOO_LARGE)
    assert outcome.message == "The rendition white: It has 2 MB."
    assert keys(outcome) == ["a.alpha.png", "a.thumb.webp"]
    [failed] = outcome.failed_renditions
    assert (failed.name, failed.code, failed.message) == ("white", error.code, error.message)
    assert written(worker) == {"a.alpha.png", "a.thumb.webp"}
    assert worker.progress.failed == 1

    monkeypatch.undo()
    reopen(worker)
    again = worker.process()
    assert (again.status, keys(again), again.failed_renditions) == (Status.DONE, KEYS, [])
    assert [output.bytes > 0 for output in again.outputs] == [False, True, False]


def test_if_several_fail_the_line_has_the_code_of_the_first(worker: Worker, monkeypatch):
    monkeypatch.setattr(
        encoding, "encode", raising(PermanentError(ErrorCode.TOO_MANY_PIXELS, "Too large."))
    )
    outcome = worker.process()
    assert outcome.message == "The rendition alpha: Too large."
    assert [failed.name for failed in outcome.failed_renditions] == ["alpha", "white", "thumb"]
    assert (outcome.outputs, written(worker)) == ([], set())


def test_one_that_may_succeed_later_is_tried_again_alone(worker: Worker, monkeypatch, decoded):
    fail_rendition(monkeypatch, "thumb", MemoryError())
    with pytest.raises(DeferredError):
        worker.process()
    assert written(worker) == {"a.alpha.png", "a.white.jpg"}
    outcome = worker.process()
    assert (outcome.status, outcome.code) == (Status.FAILED, ErrorCode.EXHAUSTED)
    assert keys(outcome) == ["a.alpha.png", "a.white.jpg"]
    assert [failed.code for failed in outcome.failed_renditions] == [ErrorCode.OUT_OF_MEMORY]


def test_a_fault_of_ours_in_one_encoder_spares_the_others(worker: Worker, monkeypatch):
    worker.configure(retry_budget=0)
    fail_rendition(monkeypatch, "white", ZeroDivisionError("secret"))
    with capture_logs():
        outcome = worker.process()
    assert (outcome.code, keys(outcome)) == (
        ErrorCode.INTERNAL_ERROR, ["a.alpha.png", "a.thumb.webp"],
    )  # fmt: skip
    assert "secret" not in outcome.model_dump_json()


SHARED = {
    "storage": RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "It answered SlowDown."),
    "credentials": PermanentError(ErrorCode.ACCESS_DENIED, "No."),
    "time limit": SoftTimeLimitExceeded(),
}


@pytest.mark.parametrize("error", SHARED.values(), ids=SHARED)
def test_an_error_of_the_infrastructure_ends_the_attempt(worker: Worker, monkeypatch, error):
    fail_rendition(monkeypatch, "white", error)
    with pytest.raises(DeferredError):
        worker.process()
    assert written(worker) == set()


def test_a_refused_key_fails_alone(worker: Worker, monkeypatch):
    put = FileStore.put_unless_changed

    def refuse(store, key, *arguments):
        if key == "a.alpha.png":
            raise PermanentError(ErrorCode.STORAGE_REFUSED, "KeyTooLongError.")
        return put(store, key, *arguments)

    monkeypatch.setattr(FileStore, "put_unless_changed", refuse)
    outcome = worker.process()
    assert (outcome.code, keys(outcome)) == (ErrorCode.STORAGE_REFUSED, KEYS[1:])


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_a_process_that_dies_between_two_outputs_is_completed(
    worker: Worker, monkeypatch, decoded, stored: int
):
    put, count = FileStore.put_unless_changed, iter(range(9))

    def put_some(store, key, *arguments):
        if next(count) >= stored:
            raise Killed
        return put(store, key, *arguments)

    monkeypatch.setattr(FileStore, "put_unless_changed", put_some)
    if stored == len(KEYS):
        monkeypatch.setattr(type(worker.ledger.lines), "finish", raising(Killed()))
    with pytest.raises(Killed):
        worker.process()
    assert written(worker) == set(KEYS[:stored])
    monkeypatch.undo()
    worker.clock += 1000  # the lease has ended
    outcome = worker.process()
    assert (outcome.status, keys(outcome), outcome.attempts) == (Status.DONE, KEYS, 2)
    assert [output.bytes > 0 for output in outcome.outputs] == [n >= stored for n in range(3)]
    assert written(worker) == set(KEYS)


def test_if_the_photograph_changes_meanwhile_no_output_of_the_old_one_is_kept(
    worker: Worker, monkeypatch
):
    fail_rendition(monkeypatch, "white", MemoryError())
    with pytest.raises(DeferredError):
        worker.process()
    assert written(worker) == {"a.alpha.png", "a.thumb.webp"}
    monkeypatch.undo()
    Image.new("RGB", (80, 50), "blue").save(worker.source / "a.png")
    outcome = worker.process()
    assert (outcome.status, keys(outcome)) == (Status.DONE, KEYS)
    assert [(output.width, output.height) for output in outcome.outputs] == [
        (80, 50), (80, 50), (30, 19),
    ]  # fmt: skip
    assert outcome.source_etag not in {"", worker.job.photograph.etag}


def test_outputs_of_a_deleted_cutout_are_all_deleted(worker: Worker):
    key = names.cutout_result_key(CUTOUT, ".png")
    worker.job = worker.open(CUTOUT, recipe=THREE, destination_key=key, interactive=True)
    worker.model.meanwhile = lambda: worker.ledger.batches.forget(CUTOUT)
    worker.process()
    assert list((worker.folder / "out" / "cut-outs").glob("*")) == []


def test_outputs_of_a_cutout_are_named_after_its_destination(worker: Worker):
    worker.job = open_batch(
        worker, CUTOUT, recipe=THREE, destination_key="shoes/red.picture", interactive=True
    )
    assert keys(worker.process()) == [
        "shoes/red.alpha.png", "shoes/red.white.jpg", "shoes/red.thumb.webp",
    ]  # fmt: skip
