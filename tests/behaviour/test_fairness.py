"""What a dispatcher does for one batch while another keeps it busy."""

import threading
from pathlib import Path

import pytest
from support.services import until

from contract import names
from contract.ledger.records import SCRIPT_LINES, Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.settings import settings
from producer.batches.register import register
from producer.batches.report import files
from producer.batches.report.tally import Tally
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch import line_publisher
from producer.dispatch.dispatcher import DRAIN_ROWS, Dispatcher
from producer.dispatch.line_publisher import CHUNKS_PER_TICK
from producer.dispatch.window import LINES_PER_CHILD, MIN_WINDOW


@pytest.fixture
def dispatcher(ledger: RedisLedger, redis_server, monkeypatch) -> Dispatcher:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()
    running = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    ledger.acquire_lease(running._token, 60)
    yield running
    running.stop()


def batch(ledger: RedisLedger, folder: Path, count: int) -> str:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05d}.jpg").touch()
    return register(ledger, str(folder), f"{folder}-out", Recipe(model="u2netp")).id


def run_until_idle(dispatcher: Dispatcher) -> None:
    while dispatcher.tick():
        pass


def defer_first(ledger: RedisLedger, batch: str, count: int) -> None:
    """Let the first lines of a batch wait ten minutes for a retry."""
    for line in range(count):
        ledger.lines.claim(batch, line, "token", 60, quarantine=False)
        ledger.lines.defer(batch, line, "token", 600, "pauses_no_batch")


@pytest.mark.slow
def test_workers_faster_than_the_dispatcher_do_not_starve_the_other_batches(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    def settled_at_once(spec, issued, photograph_of) -> None:
        rows = [
            Outcome(line=line, key=photograph_of(line).key, status=Status.DONE)
            for line in issued.bulk
        ]
        ledger.lines.finish_all(spec.id, rows)

    monkeypatch.setattr(line_publisher, "publish_issued", settled_at_once)
    giant, small = batch(ledger, tmp_path / "a", 3000), batch(ledger, tmp_path / "b", 20)
    assert dispatcher.tick()  # has more to publish at once
    assert ledger.batches.progress(giant).done == CHUNKS_PER_TICK * SCRIPT_LINES
    assert ledger.batches.progress(small).done == 20
    undrained = []
    while dispatcher.tick():
        undrained.append(len(ledger.lines.outcomes(giant, 10_000)))
    assert max(undrained) <= DRAIN_ROWS + SCRIPT_LINES


@pytest.mark.slow
def test_a_report_that_takes_long_holds_up_no_other_batch(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    write, writing, goes_on = files.write, threading.Event(), threading.Event()
    loop = threading.current_thread()

    def slow(*arguments) -> Tally:
        writing.set()
        # the loop itself would wait in vain: it closes the batch too early instead
        assert threading.current_thread() is loop or goes_on.wait(30)
        return write(*arguments)

    monkeypatch.setattr(files, "write", slow)
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: None)
    settled = batch(ledger, tmp_path / "a", 3)
    rows = [Outcome(line=n, key=f"{n:05d}.jpg", status=Status.DONE) for n in range(3)]
    ledger.lines.finish_all(settled, rows)
    dispatcher.tick()
    assert writing.wait(30)
    other = batch(ledger, tmp_path / "b", 20)
    dispatcher.tick()
    assert ledger.batches.progress(other).issued == 20
    assert ledger.batches.progress(settled).state == "open"
    goes_on.set()
    until(lambda: ledger.batches.progress(settled).state == "closed")


@pytest.mark.slow
def test_the_window_follows_the_children_that_serve_the_queue(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: None)
    large = batch(ledger, tmp_path / "a", 3000)
    run_until_idle(dispatcher)
    assert ledger.batches.progress(large).issued == MIN_WINDOW
    ledger.workers.register(Worker("a@b", names.bulk_queue("u2netp"), 500, 0))
    run_until_idle(dispatcher)
    assert ledger.batches.progress(large).issued == 500 * LINES_PER_CHILD


@pytest.mark.slow
def test_lines_that_wait_for_a_retry_do_not_hold_up_the_others(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    """As when the storage answers slowly or refuses: each deferred line waits for minutes."""
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: None)
    large = batch(ledger, tmp_path / "a", 3 * MIN_WINDOW)
    run_until_idle(dispatcher)
    defer_first(ledger, large, MIN_WINDOW)
    run_until_idle(dispatcher)
    progress = ledger.batches.progress(large)
    assert (progress.deferred, progress.active) == (MIN_WINDOW, MIN_WINDOW)


@pytest.mark.slow
def test_ticks_follow_at_once_until_all_that_is_due_is_published_again(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: None)
    large = batch(ledger, tmp_path / "a", MIN_WINDOW)
    run_until_idle(dispatcher)
    assert ledger.batches.progress(large).issued == MIN_WINDOW
    ledger.batches.pause(large, "why")
    ledger.batches.resume(large)
    run_until_idle(dispatcher)
    progress = ledger.batches.progress(large)
    assert (progress.deferred, progress.active) == (0, MIN_WINDOW)


@pytest.mark.slow
def test_ticks_follow_at_once_while_lines_that_are_outstanding_are_passed_over(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    """As when a retry sets the cursor back behind lines that wait for a retry of their own."""
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: None)
    large = batch(ledger, tmp_path / "a", 4 * MIN_WINDOW)
    defer_first(ledger, large, 3 * MIN_WINDOW)
    run_until_idle(dispatcher)
    progress = ledger.batches.progress(large)
    assert (progress.deferred, progress.active) == (3 * MIN_WINDOW, MIN_WINDOW)
