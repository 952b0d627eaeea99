"""Batches that wait for their time, and batches that fall behind their deadline."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from contract.batch import BatchSpec
from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.schedule import Schedule
from contract.settings import settings
from producer.batches import control
from producer.batches.rebuild import rebuild
from producer.batches.register import register
from producer.callbacks.schedule import CallbackSchedule
from producer.dispatch import dispatcher as dispatching
from producer.dispatch import forecast
from producer.dispatch.dispatcher import Dispatcher

TOTAL = 20
SOON = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def dispatcher(ledger: RedisLedger, redis_server, monkeypatch) -> Dispatcher:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setattr(dispatching, "publish_issued", lambda *_: None)
    settings.cache_clear()
    running = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    ledger.acquire_lease(running._token, 60)
    yield running
    running.stop()


def submit(ledger: RedisLedger, folder: Path, **schedule: datetime) -> BatchSpec:
    source = folder / "in"
    source.mkdir()
    for number in range(TOTAL):
        (source / f"{number:02}.jpg").touch()
    return register(
        ledger, str(source), str(folder / "out"), Recipe(model="u2netp"),
        schedule=Schedule(**schedule),
    )  # fmt: skip


def settle(ledger: RedisLedger, spec: BatchSpec, lines: range) -> None:
    rows = [Outcome(line=n, key=f"{n:02}.jpg", status=Status.DONE) for n in lines]
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
