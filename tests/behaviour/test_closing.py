"""How the dispatcher closes a batch, against a real Redis and a folder."""

import json
from pathlib import Path
from threading import Event, current_thread

import pytest
from structlog.testing import capture_logs
from support.services import until

from contract import names
from contract.batch import BatchSpec
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.settings import settings
from contract.storage import open_store
from contract.storage.files import FileStore
from contract.storage.json_lines import get_lines
from producer.batches import control
from producer.batches.drain import drain
from producer.batches.rebuild import rebuild
from producer.batches.register import register
from producer.batches.report import files
from producer.batches.report.rows import current
from producer.batches.report.summary import closed_at
from producer.batches.report.tally import Tally
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch import closing as dispatch_closing
from producer.dispatch import report_lease
from producer.dispatch.dispatcher import Dispatcher

TOTAL = 10


class Closing:
    """A batch of ten whose lines the test settles itself: no worker, no message."""

    def __init__(self, ledger: RedisLedger, folder: Path) -> None:
        self.ledger = ledger
        source = folder / "in"
        source.mkdir()
        for number in range(TOTAL):
            (source / f"{number}.jpg").write_bytes(b"x")
        self.spec: BatchSpec = register(
            ledger, str(source), str(folder / "out"), Recipe(model="u2netp")
        )
        self.store = open_store(self.spec.destination)

    def settle(self, lines: range, status: Status) -> None:
        self.ledger.lines.finish_all(
            self.spec.id,
            [Outcome(line=n, key=f"{n}.jpg", status=status, code=None) for n in lines],
        )

    def dispatcher(self) -> Dispatcher:
        callbacks = CallbackSchedule(self.ledger.connection)
        return Dispatcher(self.ledger, callbacks, settings())

    def tick(self, dispatcher: Dispatcher) -> None:
        """One turn of a dispatcher that takes over the lease, as after its expiry."""
        self.lead(dispatcher)
        dispatcher.tick()
        dispatcher._closer.wait()

    def lead(self, dispatcher: Dispatcher) -> None:
        self.ledger.connection.client.delete(names.DISPATCHER_LEASE)
        self.ledger.acquire_lease(dispatcher._token, 60)

    def lose_report_lease(self) -> None:
        """Let the lease of the report pass to another dispatcher, as after a long stall."""
        # in one step: a dispatcher that renews it would take it back in between
        key = names.redis_key(self.spec.id, "report_lease")
        self.ledger.connection.client.set(key, "another", ex=60)

    @property
    def state(self) -> str:
        return self.ledger.batches.progress(self.spec.id).state

    def counts(self) -> tuple[int, int]:
        progress = self.ledger.batches.progress(self.spec.id)
        return progress.done, progress.failed

    def reported(self) -> list[str]:
        rows = get_lines(self.store, names.report_key(self.spec.id, "jsonl.gz"))
        return sorted(json.loads(row)["status"] for row in rows)


@pytest.fixture
def closing(ledger: RedisLedger, tmp_path: Path, monkeypatch, redis_server) -> Closing:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()
    return Closing(ledger, tmp_path)


def test_a_settled_batch_is_reported_and_closed(closing: Closing) -> None:
    closing.settle(range(8), Status.DONE)
    closing.settle(range(8, TOTAL), Status.FAILED)
    closing.tick(closing.dispatcher())
    assert closing.state == "closed"
    assert closing.reported() == ["done"] * 8 + ["failed"] * 2


@pytest.mark.parametrize("drained", [False, True])
def test_a_stale_dispatcher_does_not_close_over_a_retry(
    closing: Closing, monkeypatch, drained: bool
) -> None:
    """It has written its report when it stalls; a retry runs to its end before it goes on.

    Another dispatcher may have moved the new outcomes to object storage by then.
    """
    closing.settle(range(8), Status.DONE)
    closing.settle(range(8, TOTAL), Status.FAILED)
    write = files.write

    def stalled(*arguments) -> Tally:
        tally = write(*arguments)
        monkeypatch.setattr(files, "write", write)
        assert control.retry(closing.ledger, closing.spec.id) == 2
        closing.settle(range(8, TOTAL), Status.DONE)
        if drained:
            drain(closing.ledger, closing.spec)
        return tally

    monkeypatch.setattr(files, "write", stalled)
    stale = closing.dispatcher()
    closing.tick(stale)
    assert closing.state == "open"
    closing.tick(closing.dispatcher())
    assert closing.state == "closed"
    assert closing.counts() == (10, 0)
    assert closing.reported() == ["done"] * 10


def test_a_dispatcher_that_lost_the_reports_lease_does_not_close(
    closing: Closing, monkeypatch
) -> None:
    closing.settle(range(TOTAL), Status.DONE)
    write = files.write

    def overtaken(*arguments) -> Tally:
        tally = write(*arguments)
        closing.lose_report_lease()
        return tally

    monkeypatch.setattr(files, "write", overtaken)
    closing.tick(closing.dispatcher())
    assert closing.state == "open"


def test_at_most_one_dispatcher_writes_a_report(closing: Closing, monkeypatch) -> None:
    """The dispatcher's lease passes to another while a report is being written."""
    closing.settle(range(TOTAL), Status.DONE)
    write, writing, goes_on, writers = files.write, Event(), Event(), []

    def slow(*arguments) -> Tally:
        writers.append(current_thread())
        writing.set()
        assert goes_on.wait(30)
        return write(*arguments)

    monkeypatch.setattr(files, "write", slow)
    first, second = closing.dispatcher(), closing.dispatcher()
    closing.lead(first)
    first.tick()
    assert writing.wait(30)
    closing.tick(second)
    assert closing.state == "open"
    goes_on.set()
    first._closer.wait()
    assert closing.state == "closed"  # although another holds the dispatcher's lease
    assert len(writers) == 1


def test_lines_that_a_retry_reopens_meanwhile_are_not_missing(
    closing: Closing, monkeypatch
) -> None:
    """It comes after the dispatcher has read that all lines are settled."""
    closing.settle(range(8), Status.DONE)
    closing.settle(range(8, TOTAL), Status.FAILED)

    def reopened(*arguments):
        assert control.retry(closing.ledger, closing.spec.id) == 2
        return current(*arguments)

    monkeypatch.setattr(dispatch_closing, "current", reopened)
    with capture_logs() as lines:
        closing.tick(closing.dispatcher())
    assert "outcomes are missing" not in [line["event"] for line in lines]
    assert (closing.state, closing.counts()) == ("open", (8, 0))


def test_a_report_that_lies_over_a_newer_one_is_written_again(
    closing: Closing, monkeypatch
) -> None:
    """Its machine was suspended: by the clock there, the lease of the report still holds."""
    closing.settle(range(8), Status.DONE)
    closing.settle(range(8, TOTAL), Status.FAILED)
    write, other = files.write, closing.dispatcher()

    def suspended(progress, outcomes, store, _check) -> Tally:
        rows = list(outcomes)
        monkeypatch.setattr(files, "write", write)
        closing.ledger.connection.client.delete(names.redis_key(closing.spec.id, "report_lease"))
        closing.tick(other)
        assert control.retry(closing.ledger, closing.spec.id) == 2
        closing.settle(range(8, TOTAL), Status.DONE)
        closing.tick(other)
        assert closing.state == "closed"
        return write(progress, rows, store, lambda: None)

    monkeypatch.setattr(files, "write", suspended)
    closing.tick(closing.dispatcher())
    assert closing.counts() == (TOTAL, 0)
    assert closing.reported() == ["done"] * TOTAL


def test_a_retry_that_another_one_overtook_leaves_a_closed_batch_closed(
    closing: Closing, monkeypatch
) -> None:
    """The other one, and the batch's second end, come between its two steps."""
    closing.settle(range(TOTAL), Status.FAILED)
    closing.tick(closing.dispatcher())
    write = control.write_summary

    def overtaken(*arguments) -> None:
        monkeypatch.setattr(control, "write_summary", write)
        assert control.retry(closing.ledger, closing.spec.id) == TOTAL
        closing.settle(range(TOTAL), Status.DONE)
        closing.tick(closing.dispatcher())
        write(*arguments)

    monkeypatch.setattr(control, "write_summary", overtaken)
    assert control.retry(closing.ledger, closing.spec.id) == 0
    assert closing.state == "closed"
    assert closed_at(closing.store, closing.spec.id) is not None


@pytest.mark.slow
def test_a_dispatcher_that_died_while_it_wrote_a_report_is_followed(closing: Closing) -> None:
    closing.settle(range(TOTAL), Status.DONE)
    assert closing.ledger.batches.lease_report(closing.spec.id, "dead", 0.5)
    dispatcher = closing.dispatcher()
    closing.tick(dispatcher)
    assert closing.state == "open"
    until(lambda: closing.tick(dispatcher) or closing.state == "closed")
    assert closing.reported() == ["done"] * TOTAL


def test_a_report_that_takes_longer_than_its_lease_keeps_it(closing: Closing, monkeypatch) -> None:
    closing.settle(range(TOTAL), Status.DONE)
    monkeypatch.setattr(report_lease, "RENEWED_EVERY_SECONDS", 0.01)
    redis, key = closing.ledger.connection.client, names.redis_key(closing.spec.id, "report_lease")
    write = files.write

    def slow(*arguments) -> Tally:
        redis.expire(key, 5)  # most of it is over
        until(lambda: redis.pttl(key) > 5000, 5)
        return write(*arguments)

    monkeypatch.setattr(files, "write", slow)
    closing.tick(closing.dispatcher())
    assert closing.state == "closed"


@pytest.mark.parametrize("free_again", [False, True])
def test_a_dispatcher_stops_writing_once_the_reports_lease_is_lost(
    closing: Closing, monkeypatch, free_again: bool
) -> None:
    """It stalls before its first file; another has the lease meanwhile, or had it."""
    closing.settle(range(TOTAL), Status.DONE)
    monkeypatch.setattr(report_lease, "RENEWED_EVERY_SECONDS", 0.01)
    stalled, put = closing.dispatcher(), []

    def lost(rows, check):
        yield from rows
        closing.lose_report_lease()
        if free_again:
            closing.ledger.batches.release_report(closing.spec.id, "another")
        until(lambda: raises(check), 10)

    monkeypatch.setattr(files, "_checked", lost)
    monkeypatch.setattr(FileStore, "put", lambda *arguments: put.append(arguments[1]))
    closing.tick(stalled)
    assert [key for key in put if "report" in key or "summary" in key] == []
    assert closing.state == "open"


def raises(check) -> bool:
    try:
        check()
    except report_lease.LeaseLostError:
        return True
    return False


def test_a_batch_with_a_lost_segment_stays_open_and_runs_those_lines_again(
    closing: Closing,
) -> None:
    closing.settle(range(5), Status.DONE)
    drain(closing.ledger, closing.spec)
    (segment,) = closing.store.list(names.outcomes_prefix(closing.spec.id))
    closing.settle(range(5, TOTAL), Status.FAILED)
    closing.store.delete(segment.key)

    dispatcher = closing.dispatcher()
    closing.tick(dispatcher)
    progress = closing.ledger.batches.progress(closing.spec.id)
    assert progress.state == "open"
    assert "The outcomes of 5 images were lost" in progress.stalled_reason
    assert closing.counts() == (0, 5)
    assert closing.store.head(names.report_key(closing.spec.id, "csv")) is None

    closing.settle(range(5), Status.DONE)  # as workers do, which find the outputs
    closing.tick(dispatcher)
    assert closing.state == "closed"
    assert closing.counts() == (5, 5)
    assert closing.reported() == ["done"] * 5 + ["failed"] * 5


@pytest.fixture
def colliding(ledger: RedisLedger, tmp_path: Path) -> BatchSpec:
    """A batch with four photographs, two of which registration refused; their rows are lost."""
    source = tmp_path / "colliding"
    source.mkdir()
    for name in ("a.jpg", "b.jpg", "b.webp", "c.jpg"):
        (source / name).write_bytes(b"x")
    spec = register(ledger, str(source), str(tmp_path / "out2"), Recipe(model="u2netp"))
    assert ledger.batches.progress(spec.id).failed == 2
    store = open_store(spec.destination)
    (segment,) = store.list(names.outcomes_prefix(spec.id))
    store.delete(segment.key)
    return spec


def codes(ledger: RedisLedger, spec: BatchSpec) -> dict[str, str | None]:
    return {row.key: row.code for row in current(ledger, spec)}


REFUSED = {"b.jpg": "duplicate_destination", "b.webp": "duplicate_destination"}


@pytest.mark.parametrize("others_lost", [False, True])
def test_refused_lines_are_never_issued_although_their_rows_were_lost(
    closing: Closing, colliding: BatchSpec, others_lost: bool
) -> None:
    ledger, dispatcher = closing.ledger, closing.dispatcher()
    done = [Outcome(line=n, key=key, status=Status.DONE) for n, key in ((0, "a.jpg"), (3, "c.jpg"))]
    ledger.lines.finish_all(colliding.id, done)
    if others_lost:
        ledger.lines.drop_outcomes(colliding.id, ledger.lines.outcomes(colliding.id, 9)[-1].id)
    closing.tick(dispatcher)
    progress = ledger.batches.progress(colliding.id)
    assert (progress.state, progress.failed) == ("open", 2)
    assert codes(ledger, colliding) == REFUSED | (
        {} if others_lost else {"a.jpg": None, "c.jpg": None}
    )
    assert ledger.lines.issue(colliding.id, 9, 9, 60).bulk == ([0, 3] if others_lost else [])
    ledger.lines.finish_all(colliding.id, done)
    closing.tick(dispatcher)
    assert ledger.batches.progress(colliding.id).state == "closed"
    assert codes(ledger, colliding) == REFUSED | {"a.jpg": None, "c.jpg": None}


def test_refused_lines_stay_refused_in_a_rebuilt_batch(
    ledger: RedisLedger, colliding: BatchSpec
) -> None:
    ledger.batches.forget(colliding.id)
    assert rebuild(ledger, colliding.id, colliding.destination) == (colliding, 2)
    assert ledger.lines.issue(colliding.id, 9, 9, 60).bulk == [0, 3]
    assert codes(ledger, colliding) == REFUSED
