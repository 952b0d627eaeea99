"""Errors of each kind: retryable, permanent, poison; with a ledger in memory and folders."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image
from structlog.testing import capture_logs
from support.one_worker import BATCH, CUTOUT, OTHER_BATCH, Worker, keys, raising

from contract import names
from contract.errors import CutoutError, ErrorCode, PermanentError, RetryableError
from contract.job import ManifestLine
from contract.ledger import ClaimRefused
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.rendition import Rendition
from contract.storage import open_store
from contract.storage.files import FileStore
from worker import process as module
from worker import retry
from worker.failure import RETRIES_ELSEWHERE, DeferredError


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


# an image that succeeds


def test_an_image_is_claimed_cut_out_stored_and_settled(worker: Worker):
    outcome = worker.process()
    assert (outcome.status, outcome.attempts, keys(outcome)) == (Status.DONE, 1, ["a.png"])
    assert outcome.worker == "w@host"
    assert (outcome.width, outcome.height) == (60, 40)
    stages = ["check", "fetch", "wait", "decode", "matte", "encode", "store"]
    assert list(outcome.milliseconds) == stages
    assert Image.open(worker.output).mode == "RGBA"
    assert (worker.progress.done, worker.progress.issued, worker.recent_results) == (1, 0, ["ok"])
    assert [row.json for row in worker.ledger.lines.outcomes(BATCH, 9)] == [
        outcome.model_dump_json(exclude_defaults=True)
    ]


def test_an_outcome_says_what_the_attempt_used(worker: Worker):
    def compute() -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    worker.model.meanwhile = compute
    outcome = worker.process()
    assert outcome.cpu_ms >= 50
    assert outcome.bytes_read == (worker.source / "a.png").stat().st_size
    assert outcome.bytes_written == worker.output.stat().st_size
    assert outcome.s3_requests == 0  # folders

    worker.job = worker.open(OTHER_BATCH)
    (worker.source / "a.png").write_bytes(b"<html>")
    failed = worker.process()
    assert (failed.status, failed.bytes_read, failed.bytes_written) == (Status.FAILED, 6, 0)


# retryable: deferred while a retry is left, then failed

RETRYABLE = {
    "storage": (
        RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "It answered SlowDown."),
        ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.EXHAUSTED,
    ),
    "no credentials yet": (
        RetryableError(ErrorCode.ACCESS_DENIED, "No role."),
        ErrorCode.ACCESS_DENIED, ErrorCode.EXHAUSTED,
    ),
    "url": (
        RetryableError(ErrorCode.URL_UNAVAILABLE, "example.org answered 503."),
        ErrorCode.URL_UNAVAILABLE, ErrorCode.EXHAUSTED,
    ),
    "soft time limit": (SoftTimeLimitExceeded(), ErrorCode.TIME_LIMIT, ErrorCode.EXHAUSTED),
    "memory": (MemoryError(), ErrorCode.OUT_OF_MEMORY, ErrorCode.EXHAUSTED),
    "our own fault": (
        ZeroDivisionError("secret"), ErrorCode.INTERNAL_ERROR, ErrorCode.INTERNAL_ERROR,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("error", "reason", "code"), RETRYABLE.values(), ids=RETRYABLE)
def test_a_retryable_error_defers_the_image_then_exhausts_it(worker: Worker, error, reason, code):
    worker.model.meanwhile = raising(error)
    with pytest.raises(DeferredError, match=reason) as caught, capture_logs() as logged:
        worker.process()
    assert caught.value.__cause__ is error
    unexpected = reason is ErrorCode.INTERNAL_ERROR
    assert [line["event"] for line in logged] == ["unexpected error"] * unexpected
    assert (worker.progress.settled, worker.progress.issued, worker.progress.claimed) == (0, 1, 0)

    with capture_logs():
        outcome = worker.process()
    assert (outcome.status, outcome.code, outcome.attempts) == (Status.FAILED, code, 2)
    assert outcome.message.startswith(f"2 attempts failed with {reason}: ")
    assert "secret" not in outcome.message
    assert worker.recent_results == [reason, reason]
    assert (worker.progress.failed, worker.progress.issued) == (1, 0)
    assert not worker.output.exists()


def test_a_retry_succeeds_and_counts_its_attempts(worker: Worker):
    worker.configure(retry_budget=5)
    worker.model.meanwhile = raising(MemoryError())
    for _ in range(2):
        with pytest.raises(DeferredError):
            worker.process()
    worker.model.meanwhile = lambda: None
    outcome = worker.process()
    assert (outcome.status, outcome.attempts) == (Status.DONE, 3)
    assert worker.recent_results == ["ok", "out_of_memory", "out_of_memory"]


def test_without_a_retry_budget_the_first_error_is_final(worker: Worker):
    worker.configure(retry_budget=0)
    worker.model.meanwhile = raising(MemoryError())
    assert worker.process().code is ErrorCode.EXHAUSTED


def test_retries_are_no_crashes(worker: Worker):
    worker.configure(retry_budget=10)
    worker.model.meanwhile = raising(SoftTimeLimitExceeded())
    for _ in range(module.MAX_CRASHES + 1):
        with pytest.raises(DeferredError):
            worker.process()


def test_a_deferred_image_is_due_within_the_retry_delay(worker: Worker):
    worker.configure(retry_delay=10)
    worker.model.meanwhile = raising(MemoryError())
    with pytest.raises(DeferredError):
        worker.process()
    worker.clock += 10.1
    assert worker.ledger.lines.reissue(BATCH, 9, 60, 0, ("", "")).bulk == [0]


# permanent: failed at once, under its code


def write(data: bytes) -> Callable[[Worker], None]:
    return lambda worker: (worker.source / "a.png").write_bytes(data) and None


def truncated(worker: Worker) -> None:
    path = worker.source / "a.png"
    path.write_bytes(path.read_bytes()[:-40])


def large(worker: Worker) -> None:
    Image.new("RGB", (200, 100)).save(worker.source / "a.png")


def transparent(worker: Worker) -> None:
    Image.new("RGBA", (20, 10), (200, 10, 10, 0)).save(worker.source / "a.png")


def absent(worker: Worker) -> None:
    (worker.source / "a.png").unlink()


def without_subject(worker: Worker) -> None:
    worker.model.subject = False
    worker.job = worker.open(recipe=Recipe(model="u2netp", renditions=(Rendition(crop=True),)))


def with_unsafe_key(worker: Worker) -> None:
    worker.job = worker.open(key="../a.png")


def refused(code: ErrorCode) -> Callable[[Worker], None]:
    def arrange(worker: Worker) -> None:
        worker.model.meanwhile = raising(PermanentError(code, "Refused."))

    return arrange


PERMANENT = {
    ErrorCode.EMPTY_FILE: write(b""),
    ErrorCode.NOT_AN_IMAGE: write(b"<html>Not found</html>"),
    ErrorCode.UNSUPPORTED_FORMAT: write(b"\0\0\0\x18ftypcrx " + bytes(100)),
    ErrorCode.TRUNCATED_IMAGE: truncated,
    ErrorCode.TOO_MANY_PIXELS: large,
    ErrorCode.TOO_MANY_BYTES: write(bytes(100_001)),
    ErrorCode.NOTHING_VISIBLE: transparent,
    ErrorCode.NO_SUBJECT: without_subject,
    ErrorCode.UNSAFE_KEY: with_unsafe_key,
    ErrorCode.CORRUPT_IMAGE: refused(ErrorCode.CORRUPT_IMAGE),
    ErrorCode.URL_REFUSED: refused(ErrorCode.URL_REFUSED),
    ErrorCode.URL_FAILED: refused(ErrorCode.URL_FAILED),
}


@pytest.mark.parametrize(("code", "arrange"), PERMANENT.items())
def test_a_permanent_error_fails_the_image_at_once(worker: Worker, code, arrange):
    arrange(worker)
    outcome = worker.process()
    assert (outcome.status, outcome.code, outcome.attempts) == (Status.FAILED, code, 1)
    assert outcome.message.endswith(".")
    assert worker.recent_results == [code]
    assert (worker.progress.failed, worker.progress.issued) == (1, 0)
    assert not list(worker.folder.glob("out/*.png"))


ELSEWHERE = {
    ErrorCode.OBJECT_MISSING: absent,
    ErrorCode.ACCESS_DENIED: refused(ErrorCode.ACCESS_DENIED),
}


@pytest.mark.parametrize("budget", [1, 5])
@pytest.mark.parametrize(("code", "arrange"), ELSEWHERE.items())
def test_an_error_that_another_worker_may_not_have_is_retried_before_it_is_final(
    worker: Worker, code, arrange, budget: int
):
    worker.configure(retry_budget=budget)
    retries = min(budget, RETRIES_ELSEWHERE)
    arrange(worker)
    for _ in range(retries):
        with pytest.raises(DeferredError, match=code):
            worker.process()
        worker.clock += 60
    outcome = worker.process()
    assert (outcome.status, outcome.code, outcome.attempts) == (Status.FAILED, code, retries + 1)
    assert worker.recent_results == [code] * (retries + 1)
    assert {x.worker for x in worker.ledger.batches.recent_results(BATCH)} == {"w@host"}


def test_nobody_waits_longer_for_a_cutout_to_find_out(worker: Worker):
    worker.job = worker.open(CUTOUT, key="missing.png", destination_key="x.png", interactive=True)
    outcome = worker.process()
    assert (outcome.code, outcome.attempts) == (ErrorCode.OBJECT_MISSING, 1)


# poison: the process died


@pytest.mark.parametrize(
    ("cause", "causes"),
    [("SIGSEGV", "SIGSEGV, SIGSEGV, SIGSEGV"), ("", "no worker was left to report the causes")],
)
def test_an_image_that_crashed_three_processes_is_never_run_again(worker: Worker, cause, causes):
    worker.crash(3, cause)
    worker.runtime = replace(worker.runtime, quarantine=True)
    outcome = worker.process()
    assert (outcome.status, outcome.code) == (Status.FAILED, ErrorCode.POISONED)
    assert outcome.message == f"The image crashed 3 processes: {causes}."
    assert (outcome.attempts, worker.model.runs) == (3, 0)
    assert worker.recent_results == ["poisoned"]


def test_an_image_that_crashed_two_processes_is_run_in_quarantine(worker: Worker):
    worker.crash(2, "SIGKILL")
    worker.runtime = replace(worker.runtime, quarantine=True)
    outcome = worker.process()
    assert (outcome.status, outcome.attempts) == (Status.DONE, 3)


# deliveries that must not run


def settled(worker: Worker) -> None:
    worker.process()
    worker.model.runs = 0


def held(worker: Worker) -> None:
    worker.ledger.lines.claim(BATCH, 0, "other-1:x", 60, quarantine=False)


def paused(worker: Worker) -> None:
    worker.ledger.batches.pause(BATCH, "why")


def cancelled(worker: Worker) -> None:
    worker.ledger.batches.cancel(BATCH)


def closed(worker: Worker) -> None:
    worker.ledger.batches.discard(BATCH)


def forgotten(worker: Worker) -> None:
    worker.ledger.batches.forget(BATCH)


def crashed_once_seen(worker: Worker) -> None:
    worker.crash(1, "SIGSEGV")


def crashed_twice_unseen(worker: Worker) -> None:
    worker.crash(2)


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (settled, "settled"),
        (held, "held"),
        (paused, "stopped"),
        (cancelled, "stopped"),
        (closed, "stopped"),
        (forgotten, "stopped"),
        (crashed_once_seen, "quarantined"),
        (crashed_twice_unseen, "quarantined"),
    ],
)
def test_a_delivery_is_refused_without_running(worker: Worker, arrange, reason):
    arrange(worker)
    before = worker.recent_results if worker.ledger.batches.exists(BATCH) else []
    assert worker.process() == ClaimRefused(reason)
    assert worker.model.runs == 0
    if before:
        assert worker.recent_results == before


# what happens meanwhile


def test_an_image_in_progress_is_settled_although_its_batch_was_cancelled(worker: Worker):
    worker.model.meanwhile = lambda: worker.ledger.batches.cancel(BATCH)
    assert worker.process().status is Status.DONE
    assert worker.progress.done == 1


def test_an_image_settled_as_cancelled_meanwhile_stays_so_and_keeps_its_output(worker: Worker):
    row = Outcome(line=0, key="a.png", status=Status.FAILED, code=ErrorCode.CANCELLED)
    worker.model.meanwhile = lambda: worker.ledger.lines.finish(BATCH, row)
    assert worker.process() == ClaimRefused("settled")
    assert (worker.progress.failed, worker.progress.done, worker.progress.duplicates) == (1, 0, 1)
    assert worker.output.exists()


def test_a_cutout_deleted_meanwhile_leaves_no_output(worker: Worker):
    key = names.cutout_result_key(CUTOUT, ".png")
    worker.job = worker.open(CUTOUT, destination_key=key, interactive=True)
    worker.model.meanwhile = lambda: worker.ledger.batches.forget(CUTOUT)
    assert worker.process() == ClaimRefused("settled")
    assert worker.model.runs == 1
    assert not worker.output.exists()
    assert not worker.ledger.batches.exists(CUTOUT)


def test_a_cutout_deleted_meanwhile_keeps_an_output_that_the_client_placed(worker: Worker):
    worker.job = worker.open(CUTOUT, destination_key="shoes/a.png", interactive=True)
    worker.model.meanwhile = lambda: worker.ledger.batches.forget(CUTOUT)
    assert worker.process() == ClaimRefused("settled")
    assert worker.output.exists()


def test_a_cutout_that_another_attempt_settled_keeps_its_output(worker: Worker):
    key = names.cutout_result_key(CUTOUT, ".png")
    worker.job = worker.open(CUTOUT, destination_key=key, interactive=True)
    row = Outcome(line=0, key="a.png", status=Status.DONE)
    worker.model.meanwhile = lambda: worker.ledger.lines.finish(CUTOUT, row)
    assert worker.process() == ClaimRefused("settled")
    assert worker.output.exists()


def test_a_paused_batch_defers_the_image_in_progress(worker: Worker):
    def pause():
        worker.ledger.batches.pause(BATCH, "storage")
        raise RetryableError(ErrorCode.STORAGE_UNAVAILABLE, "It answered 503.")

    worker.model.meanwhile = pause
    with pytest.raises(DeferredError):
        worker.process()
    assert (worker.progress.state, worker.progress.issued) == ("paused", 1)


# another attempt or batch is faster


def overtaken(worker: Worker, batch: str, **fields) -> bytes:
    """Have another worker finish an image of the same key meanwhile; return its output."""
    worker.model.meanwhile = lambda: None
    first = worker.job
    Image.new("RGB", (60, 40), "blue").save(worker.source / "a.png")
    worker.job = worker.open(batch, **fields) if fields else first
    worker.clock += 1000
    assert worker.process().status is Status.DONE
    worker.job = first
    return worker.output.read_bytes()


@pytest.mark.slow
def test_an_attempt_frozen_past_its_lease_does_not_overwrite_a_newer_output(worker: Worker):
    newer: list[bytes] = []

    def freeze() -> None:
        newer.append(overtaken(worker, BATCH))
        time.sleep(0.7)

    worker.configure(time_limit=1.1, visibility_timeout=1.2, retry_delay=0.1)
    worker.model.meanwhile = freeze
    assert worker.process() == ClaimRefused("held")
    assert worker.output.read_bytes() == newer[0]
    assert (worker.progress.done, worker.progress.duplicates) == (1, 0)


@pytest.mark.slow
def test_the_failure_of_an_attempt_frozen_past_its_lease_does_not_count(worker: Worker):
    def freeze() -> None:
        worker.ledger.lines.claim(BATCH, 0, "other-1:x", 60, quarantine=True)
        time.sleep(0.7)
        raise MemoryError

    worker.configure(time_limit=1.1, visibility_timeout=1.2, retry_delay=0.1, retry_budget=0)
    worker.model.meanwhile = lambda: setattr(worker, "clock", worker.clock + 2) or freeze()
    assert worker.process() == ClaimRefused("held")
    assert (worker.progress.settled, worker.progress.claimed) == (0, 1)


@pytest.mark.slow
def test_a_slow_attempt_that_still_has_its_claim_is_done(worker: Worker):
    worker.configure(time_limit=1.1, visibility_timeout=1.2, retry_delay=0.1)
    worker.model.meanwhile = lambda: time.sleep(0.7)
    assert worker.process().status is Status.DONE


def test_an_image_whose_output_another_batch_wrote_meanwhile_is_processed_again(worker: Worker):
    worker.model.meanwhile = lambda: overtaken(worker, OTHER_BATCH, force=True)
    with pytest.raises(DeferredError, match="object_changed"):
        worker.process()
    assert worker.process().status is Status.DONE  # the later write stays
    assert (worker.model.runs, worker.progress.done) == (3, 1)


def test_an_output_that_this_batch_wrote_of_the_same_bytes_counts_as_its_own(
    worker: Worker, monkeypatch
):
    """As if the answer of the storage had been lost, and the PUT repeated."""
    real = FileStore.put_unless_changed

    def twice(*arguments) -> None:
        real(*arguments)
        real(*arguments)

    monkeypatch.setattr(FileStore, "put_unless_changed", twice)
    assert worker.process().status is Status.DONE
    assert worker.progress.done == 1


# an output that exists already


@pytest.fixture
def with_output(worker: Worker) -> Worker:
    """The worker after its image is done; the manifest line knows the photograph's real ETag."""
    etag = open_store(worker.job.source).head("a.png").etag
    photograph = ManifestLine(key="a.png", size=1, etag=etag)
    worker.job = worker.job.model_copy(update={"photograph": photograph})
    worker.process()
    assert worker.model.runs == 1
    return worker


def again(worker: Worker, batch: str, **fields) -> Outcome:
    photograph = worker.job.photograph
    worker.job = worker.open(batch, **fields).model_copy(update={"photograph": photograph})
    return worker.process()


def test_a_current_output_of_another_batch_is_skipped(with_output: Worker):
    outcome = again(with_output, OTHER_BATCH)
    assert (outcome.status, keys(outcome)) == (Status.SKIPPED, ["a.png"])
    assert outcome.source_etag == ""  # that of the manifest
    assert (with_output.model.runs, with_output.progress.skipped) == (1, 1)


def test_a_current_output_of_the_same_batch_is_done(with_output: Worker):
    # an earlier attempt stored it and died before it settled the line
    assert again(with_output, BATCH).status is Status.DONE
    assert again(with_output, BATCH, force=True).status is Status.DONE
    assert with_output.model.runs == 1


def test_force_replaces_a_current_output(with_output: Worker):
    assert again(with_output, OTHER_BATCH, force=True).status is Status.DONE
    assert with_output.model.runs == 2


def other_photograph(worker: Worker) -> None:
    photograph = worker.job.photograph.model_copy(update={"etag": "changed"})
    worker.job = worker.job.model_copy(update={"photograph": photograph})


def other_model(worker: Worker) -> None:
    worker.model.sha256 = "1" * 64


def other_provider(worker: Worker) -> None:
    worker.model.provider = "cuda 1.32.0"


@pytest.mark.parametrize(
    ("arrange", "fields"),
    [
        (other_photograph, {}),
        (other_model, {}),
        (other_provider, {}),
        (lambda _: None, {"recipe": Recipe(model="u2netp", pipeline=1)}),
    ],
    ids=["photograph", "model", "provider", "recipe"],
)
def test_an_output_of_another_origin_is_replaced(with_output: Worker, arrange, fields):
    arrange(with_output)
    assert again(with_output, OTHER_BATCH, **fields).status is Status.DONE
    assert with_output.model.runs == 2


def test_an_output_names_a_provider_whose_pixels_differ(with_output: Worker):
    def metadata() -> dict[str, str]:
        head = open_store(with_output.job.destination).head("a.png")
        assert head
        return head.metadata

    assert "provider" not in metadata()
    other_provider(with_output)
    again(with_output, OTHER_BATCH)
    assert metadata()["provider"] == "cuda 1.32.0"
    assert again(with_output, BATCH).status is Status.SKIPPED  # current for that provider
    with_output.model.provider = ""
    assert again(with_output, BATCH).status is Status.DONE


# Redis is away, or memory ends outside the image's own work

AWAY = RetryableError(ErrorCode.REDIS_UNAVAILABLE, "Redis did not answer.")


@pytest.mark.parametrize("method", ["claim", "defer", "finish"])
def test_an_image_waits_while_redis_is_away(worker: Worker, monkeypatch, method):
    monkeypatch.setattr(retry, "REDIS_POLL_SECONDS", (0, 0))
    if method == "defer":
        worker.model.meanwhile = raising(MemoryError())
    lines, calls = worker.ledger.lines, []
    real = getattr(lines, method)

    def failing_twice(*arguments, **options):
        calls.append(method)
        if len(calls) <= 2:
            raise AWAY
        return real(*arguments, **options)

    monkeypatch.setattr(lines, method, failing_twice)
    if method == "defer":
        with pytest.raises(DeferredError):
            worker.process()
    else:
        assert worker.process().status is Status.DONE
    assert (len(calls), worker.model.runs) == (3, 1)


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("claim", AWAY), ("finish", AWAY), ("defer", AWAY),
        ("claim", PermanentError(ErrorCode.REDIS_UNAVAILABLE, "Redis refused the credentials.")),
        ("defer", MemoryError()), ("finish", MemoryError()), ("finish", SoftTimeLimitExceeded()),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_recorded_stays_claimed_and_becomes_due(
    worker: Worker, monkeypatch, method, error
):
    monkeypatch.setattr(retry, "REDIS_WAIT_SHARE", 0)
    if method == "defer":
        worker.model.meanwhile = raising(MemoryError())
    with monkeypatch.context() as patch:
        patch.setattr(worker.ledger.lines, method, raising(error))
        with pytest.raises((CutoutError, MemoryError, SoftTimeLimitExceeded)) as caught:
            worker.process()
    assert caught.value is error
    assert worker.progress.settled == 0
    worker.clock += worker.config.visibility_timeout + 1
    worker.model.meanwhile = lambda: None
    outcome = worker.process()
    assert (outcome.status, worker.progress.done) == (Status.DONE, 1)
