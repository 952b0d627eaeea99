"""The callback of a batch, from its end to a real receiver on loopback."""

import json
import time
from pathlib import Path

import pytest
from support.receivers import answer, receiving
from support.services import until
from typer.testing import CliRunner

from contract import names
from contract.batch import BatchSpec
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.settings import settings
from producer.batches import control
from producer.batches.register import register
from producer.callbacks.schedule import CallbackSchedule
from producer.callbacks.signatures import verify
from producer.cli import main
from producer.dispatch.callbacks import delivering_callbacks, load_delivery
from producer.dispatch.dispatcher import Dispatcher

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, redis_server) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    monkeypatch.setenv("CUTOUT_URL_ALLOWLIST", "127.0.0.0/8")
    monkeypatch.setenv("CUTOUT_WEBHOOK_SECRET", SECRET)
    settings.cache_clear()


@pytest.fixture
def dispatcher(ledger: RedisLedger) -> Dispatcher:
    running = Dispatcher(ledger, CallbackSchedule(ledger.connection), settings())
    yield running
    running.stop()


def submit(ledger: RedisLedger, folder: Path, url: str | None) -> BatchSpec:
    (folder / "in").mkdir()
    for number in range(2):
        (folder / "in" / f"{number}.jpg").touch()
    return register(
        ledger, str(folder / "in"), str(folder / "out"), Recipe(model="u2netp"), callback_url=url
    )


def end(ledger: RedisLedger, dispatcher: Dispatcher, spec: BatchSpec) -> None:
    """Settle every line, one as failed, and let the dispatcher close the batch."""
    for line, status in enumerate((Status.DONE, Status.FAILED)):
        ledger.lines.finish(spec.id, Outcome(line=line, key=f"{line}.jpg", status=status))
    ledger.acquire_lease(dispatcher._token, 60)
    dispatcher.tick()
    dispatcher._closer.wait()
    assert ledger.batches.progress(spec.id).state == "closed"


def pending(ledger: RedisLedger) -> int:
    return CallbackSchedule(ledger.connection, names.BATCH_CALLBACKS).pending()


@pytest.mark.slow
def test_each_end_of_a_batch_is_sent_once_and_signed(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    with receiving(answer(500), answer(200)) as server, delivering_callbacks(ledger):
        spec = submit(ledger, tmp_path, server.url("/hook?token=sesame"))
        time.sleep(1)
        assert not server.requests
        end(ledger, dispatcher, spec)
        until(lambda: not pending(ledger))
        failed, first = server.requests
        assert failed.body == first.body
        assert control.retry(ledger, spec.id) == 1
        end(ledger, dispatcher, spec)
        until(lambda: not pending(ledger))
    assert len(server.requests) == 3
    ids = [verify(one.headers, one.body, [SECRET], time.time()) for one in server.requests]
    assert ids == [f"{spec.id}:0", f"{spec.id}:0", f"{spec.id}:1"]
    body = json.loads(first.body)
    assert {name: body[name] for name in ("id", "state", "done", "failed", "late")} == {
        "id": spec.id, "state": "closed", "done": 1, "failed": 1, "late": False,
    }  # fmt: skip


def test_a_dispatcher_that_dies_after_the_end_loses_no_callback(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    """The callback becomes due in the step that closes the batch: there is no moment between."""
    with receiving(answer(200)) as server:
        spec = submit(ledger, tmp_path, server.url())
        end(ledger, dispatcher, spec)
        assert (pending(ledger), server.requests) == (1, [])
        callbacks = CallbackSchedule(ledger.connection, names.BATCH_CALLBACKS)
        assert callbacks.is_pending(f"{spec.id}:0")
        with delivering_callbacks(ledger):
            until(lambda: server.requests)


@pytest.mark.parametrize("event", ["reopened", "forgotten", "deleted"])
def test_a_batch_that_is_not_closed_any_more_is_not_sent(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path, event: str
) -> None:
    spec = submit(ledger, tmp_path, "http://127.0.0.1/")
    end(ledger, dispatcher, spec)
    callback = f"{spec.id}:0"
    assert load_delivery(ledger, callback).url == "http://127.0.0.1/"
    match event:
        case "reopened":
            control.retry(ledger, spec.id)
        case "forgotten":
            ledger.batches.forget(spec.id)
        case "deleted":
            (tmp_path / "out" / names.private_fields_key(spec.id)).unlink()
    assert load_delivery(ledger, callback) is None


def test_the_url_is_not_stored_in_redis(ledger: RedisLedger, tmp_path: Path) -> None:
    spec = submit(ledger, tmp_path, "http://127.0.0.1/?token=sesame")
    redis = ledger.connection.client
    assert spec.has_callback
    assert "sesame" not in json.dumps(redis.hgetall(names.redis_key(spec.id)))
    assert "sesame" not in spec.model_dump_json()


def test_without_a_callback_nothing_becomes_due(
    dispatcher: Dispatcher, ledger: RedisLedger, tmp_path: Path
) -> None:
    spec = submit(ledger, tmp_path, None)
    end(ledger, dispatcher, spec)
    assert pending(ledger) == 0


@pytest.mark.parametrize("url", ["http://192.0.43.8/", "https://10.0.0.1/?token=sesame", "x"])
def test_submit_refuses_a_url_that_would_never_be_called(
    ledger: RedisLedger, tmp_path: Path, url: str
) -> None:
    (tmp_path / "a.jpg").touch()
    arguments = ["submit", str(tmp_path), str(tmp_path / "out"), "--callback", url]
    result = CliRunner().invoke(main.app, arguments)
    assert "url_refused" in str(result.exception)
    assert "sesame" not in str(result.exception)
    assert ledger.batches.ids() == []
