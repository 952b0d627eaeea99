"""When batches run and what share of the workers they get, without workers."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.schedule import Schedule
from contract.settings import settings
from contract.storage import batch_files
from producer.batches import control
from producer.batches.rebuild import rebuild
from producer.batches.register import register
from producer.callbacks.schedule import CallbackSchedule
from producer.cli import main
from producer.dispatch import forecast, line_publisher, reasons, throttle, window
from producer.dispatch.dispatcher import Dispatcher
from producer.dispatch.window import MIN_WINDOW

TOTAL = 20
SOON = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def dispatcher(ledger: RedisLedger, redis_server, monkeypatch) -> Dispatcher:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setattr(line_publisher, "publish_issued", lambda *_: None)
    # or the window would depend on how fast the test settles lines
    monkeypatch.setattr(window, "BACKLOG_SECONDS", 0)
    settings.cache_clear()
    running = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    ledger.acquire_lease(running._token, 60)
    yield running
    running.stop()


def submit(ledger: RedisLedger, folder: Path, total: int = TOTAL, **schedule: object) -> BatchSpec:
    source = folder / "in"
    source.mkdir(parents=True)
    for number in range(total):
        (source / f"{number:04}.jpg").touch()
    return register(
        ledger, str(source), str(folder / "out"), Recipe(model="u2netp"),
        schedule=Schedule.model_validate(schedule),
    )  # fmt: skip


def settle(ledger: RedisLedger, spec: BatchSpec, lines: range) -> None:
    rows = [Outcome(line=n, key=f"{n:04}.jpg", status=Status.DONE) for n in lines]
    ledger.lines.finish_all(spec.id, rows)


def test_no_image_is_issued_before_the_start(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    spec = submit(ledger, tmp_path, not_before=SOON)
    dispatcher.tick()
    progress = ledger.batches.progress(spec.id)
    assert (progress.state, progress.issued) == ("open", 0)
    assert progress.stalled_reason == f"Starts at {SOON:%Y-%m-%d %H:%M} UTC, as its schedule says."

    control.reschedule(ledger, spec.id, {"not_before": None})
    dispatcher.tick()
    progress = ledger.batches.progress(spec.id)
    assert (progress.issued, progress.stalled_reason) == (TOTAL, "")


def test_a_changed_schedule_outlives_redis(ledger: RedisLedger, tmp_path: Path) -> None:
    spec = submit(ledger, tmp_path, not_before=SOON)
    deadline = SOON + timedelta(hours=8)
    changed = control.reschedule(ledger, spec.id, {"deadline": deadline})
    assert changed.schedule == Schedule(not_before=SOON, deadline=deadline)
    ledger.connection.client.flushall()
    assert rebuild(ledger, spec.id, spec.destination)[0] == changed
    assert ledger.batches.progress(spec.id).spec == changed


@pytest.fixture
def second_change(monkeypatch) -> Iterator[list[Callable[[], object]]]:
    """What happens while the first of two changes is being stored."""
    todo: list[Callable[[], object]] = []
    write_spec = batch_files.write_spec

    def write(spec: BatchSpec) -> None:
        write_spec(spec)
        if todo:
            todo.pop()()

    monkeypatch.setattr(batch_files, "write_spec", write)
    yield todo
    assert not todo


def test_two_changes_at_once_keep_their_fields(
    ledger: RedisLedger, tmp_path: Path, second_change
) -> None:
    spec = submit(ledger, tmp_path)
    second_change.append(lambda: control.reschedule(ledger, spec.id, {"priority": 5}))
    new = control.reschedule(ledger, spec.id, {"weight": 2})
    assert new.schedule == Schedule(priority=5, weight=2)
    assert ledger.batches.progress(spec.id).spec == new
    assert batch_files.read_spec(spec.id, spec.destination) == new


def test_a_change_that_another_makes_invalid_leaves_nothing_behind(
    ledger: RedisLedger, tmp_path: Path, second_change
) -> None:
    spec = submit(ledger, tmp_path)
    second_change.append(lambda: control.reschedule(ledger, spec.id, {"deadline": SOON}))
    with pytest.raises(PermanentError) as raised:
        control.reschedule(ledger, spec.id, {"not_before": SOON})
    assert raised.value.code is ErrorCode.INVALID_SCHEDULE
    stored = batch_files.read_spec(spec.id, spec.destination)
    assert stored.schedule == Schedule(deadline=SOON)
    assert ledger.batches.progress(spec.id).spec == stored


def test_the_schedule_of_a_batch_that_ends_cannot_be_changed(
    ledger: RedisLedger, tmp_path: Path
) -> None:
    spec = submit(ledger, tmp_path)
    ledger.batches.cancel(spec.id)
    with pytest.raises(PermanentError) as raised:
        control.reschedule(ledger, spec.id, {"not_before": SOON})
    assert raised.value.code is ErrorCode.BATCH_CONFLICT


def test_a_batch_behind_its_deadline_says_so_until_it_is_back_in_time(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    start = datetime.now(UTC).timestamp()
    deadline = datetime.fromtimestamp(start + 300, UTC)
    spec = submit(ledger, tmp_path, deadline=deadline)

    def at(seconds: float) -> None:
        """Let the dispatcher work `seconds` after the start."""
        with monkeypatch.context() as patch:
            patch.setattr(forecast, "time", SimpleNamespace(time=lambda: start + seconds))
            dispatcher.tick()

    dispatcher.tick()
    with capture_logs() as lines:
        settle(ledger, spec, range(2))
        at(60)
        late = ledger.batches.progress(spec.id)
        settle(ledger, spec, range(2, 16))
        at(80)
        back = ledger.batches.progress(spec.id)
    assert late.late
    assert late.eta == pytest.approx(start + 60 + 18 * 30, abs=5)
    assert not back.late
    assert back.eta == pytest.approx(start + 80 + 4 * 5, abs=5)
    events = [(line["log_level"], line["event"]) for line in lines if "batch" in line["event"]]
    assert events == [
        ("warning", "batch will miss its deadline"), ("info", "batch is back in time"),
    ]  # fmt: skip


def cutout(*arguments: str) -> str:
    """Run a verb of the command line and return what it prints."""
    result = CliRunner().invoke(main.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_status_says_which_deadlines_will_be_missed(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    locations = str(tmp_path / "in"), str(tmp_path / "out")
    batch = cutout("submit", *locations, "--deadline", "2026-01-31T06:00Z").strip()
    assert "Expected" not in cutout("status", batch)
    ledger.batches.set_eta(batch, datetime(2026, 1, 31, 7, 40, tzinfo=UTC).timestamp())
    late = "Expected to end at 2026-01-31 07:40 UTC, after its deadline at 2026-01-31 06:00 UTC"
    assert late in cutout("status", batch)
    shown = json.loads(cutout("status", batch, "--json"))
    assert (shown["late"], shown["schedule"]["deadline"]) == (True, "2026-01-31T06:00:00Z")

    changed = json.loads(cutout("schedule", batch, "--deadline", "none", "--cap", "5", "--json"))
    assert changed == {
        "priority": 0, "weight": 1, "cap": 5, "not_before": None, "deadline": None,
    }  # fmt: skip
    assert cutout("schedule", batch).splitlines()[2:4] == ["cap: 5", "not-before: none"]
    assert "Expected to end at 2026-01-31 07:40 UTC.\n" in cutout("status", batch)


# shares


def issued(dispatcher: Dispatcher, ledger: RedisLedger, *specs: BatchSpec) -> list[int]:
    """Let the dispatcher issue as many lines as it does without workers; return how many."""
    while dispatcher.tick():
        pass
    return [ledger.batches.progress(spec.id).issued for spec in specs]


@pytest.mark.slow
def test_a_batch_of_higher_priority_goes_first(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    low = submit(ledger, tmp_path / "low", 900)
    assert issued(dispatcher, ledger, low) == [MIN_WINDOW]
    high = submit(ledger, tmp_path / "high", 500, priority=1)
    dispatcher.tick()
    settle(ledger, low, range(MIN_WINDOW))
    assert issued(dispatcher, ledger, low, high) == [0, 2 * MIN_WINDOW]
    dispatcher.tick()
    progress = ledger.batches.progress(low.id)
    assert progress.stalled_reason == reasons.OUTRANKED

    # 50 lines of the higher priority remain, and the rest of the window is free
    settle(ledger, high, range(450))
    dispatcher.tick()
    assert issued(dispatcher, ledger, low, high) == [2 * MIN_WINDOW - 50, 50]
    assert ledger.batches.progress(low.id).stalled_reason == ""


def test_lines_of_a_higher_priority_are_published_first_in_each_tick(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    """The queue is first in, first out: behind a batch, the other would wait for all its lines."""
    published: list[str] = []
    monkeypatch.setattr(
        line_publisher, "publish_issued", lambda spec, *_: published.append(spec.id)
    )
    low = submit(ledger, tmp_path / "low", 900)
    high = submit(ledger, tmp_path / "high", 50, priority=1)
    dispatcher.tick()
    assert published == [high.id, low.id, low.id]


@pytest.mark.slow
def test_priorities_change_while_the_batches_run(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    first = submit(ledger, tmp_path / "first", 900)
    second = submit(ledger, tmp_path / "second", 900)
    assert issued(dispatcher, ledger, first, second) == [MIN_WINDOW, MIN_WINDOW]
    control.reschedule(ledger, second.id, {"priority": 5})
    dispatcher.tick()
    assert issued(dispatcher, ledger, first, second) == [MIN_WINDOW, 2 * MIN_WINDOW]
    settle(ledger, first, range(MIN_WINDOW))
    assert issued(dispatcher, ledger, first, second) == [0, 2 * MIN_WINDOW]
    ledger.batches.pause(second.id, "why")
    dispatcher.tick()
    assert issued(dispatcher, ledger, first, second) == [MIN_WINDOW, 2 * MIN_WINDOW]


@pytest.mark.slow
def test_weights_divide_the_workers_and_a_cap_limits_a_batch(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    specs = [
        submit(ledger, tmp_path / "a", 600, weight=3), submit(ledger, tmp_path / "b", 600),
        submit(ledger, tmp_path / "c", 600, cap=100),
    ]  # fmt: skip
    # the cap leaves 500 of 600 lines, divided 3 to 1
    assert issued(dispatcher, ledger, *specs) == [375, 125, 100]


@pytest.mark.slow
def test_lines_that_wait_for_a_retry_claim_no_workers(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    waiting = submit(ledger, tmp_path / "waiting", 50, priority=1)
    other = submit(ledger, tmp_path / "other", 900)
    assert issued(dispatcher, ledger, waiting, other) == [50, 2 * MIN_WINDOW - 50]
    for line in range(50):
        ledger.lines.claim(waiting.id, line, "token", 60, quarantine=False)
        ledger.lines.defer(waiting.id, line, "token", 600, "pauses_no_batch")
    dispatcher.tick()
    # the 50 count as issued still, but not as queued or in process
    assert issued(dispatcher, ledger, waiting, other) == [50, 2 * MIN_WINDOW]


# storage that refuses requests


@pytest.mark.slow
def test_a_batch_whose_storage_refuses_requests_is_slowed_down_and_recovers(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(throttle, "INTERVAL_SECONDS", 0)
    monkeypatch.setattr(throttle, "GROWTH", 1)
    spec = submit(ledger, tmp_path, 500)
    assert issued(dispatcher, ledger, spec) == [MIN_WINDOW]

    def attempt(lines: range, code: str = "") -> None:
        for line in lines:
            ledger.lines.claim(spec.id, line, "a-1:x", 60, quarantine=False)
        dispatcher.tick()  # while they are being processed
        if not code:
            settle(ledger, spec, lines)
            return
        for line in lines:
            ledger.lines.defer(spec.id, line, "a-1:x", 600, code)

    with capture_logs() as lines:
        attempt(range(16), "storage_unavailable")
        dispatcher.tick()
        dispatcher.tick()
        slow = ledger.batches.progress(spec.id)
        # the lines in the queue are far more than the limit, so no further ones are issued
        assert (slow.deferred, slow.active) == (16, MIN_WINDOW - 16)
        assert slow.stalled_reason == reasons.THROTTLED
        for start in range(16, MIN_WINDOW, 8):
            attempt(range(start, start + 8))
        while dispatcher.tick():
            pass
    back = ledger.batches.progress(spec.id)
    assert (back.active, back.stalled_reason) == (MIN_WINDOW, "")
    events = [line["event"] for line in lines if "batch" in line["event"]]
    assert events == ["batch slowed down", "batch at full speed again"]
