"""Batches that wait for a dispatcher say so, with both ledgers."""

import json
import time

import pytest
from typer.testing import CliRunner

from contract.batch import BatchSpec
from contract.errors import CutoutError
from contract.ledger import Ledger
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import recipe_for
from contract.settings import settings
from producer.batches import control
from producer.batches.missing_dispatcher import NO_DISPATCHER, with_missing_dispatcher
from producer.cli import main

BATCHES = [f"b-20260101-000000-{letter * 6}" for letter in "abc"]


def spec(batch: str) -> BatchSpec:
    return BatchSpec(
        id=batch, source="/in", destination="/out", recipe=recipe_for("u2netp"),
        created=time.time(), total=2, segment_lines=2,
    )  # fmt: skip


def reasons(ledger: Ledger) -> dict[str, str]:
    rows = with_missing_dispatcher(ledger, map(ledger.batches.progress, BATCHES))
    return {row.state: row.stalled_reason for row in rows}


def test_batches_that_wait_for_a_dispatcher_say_so(ledger: Ledger) -> None:
    for batch in BATCHES:
        ledger.batches.register(spec(batch))
        ledger.batches.open(batch)
    ledger.batches.pause(BATCHES[1], "An operator.")
    ledger.batches.cancel(BATCHES[2])
    waiting = {"open": NO_DISPATCHER, "paused": "An operator.", "cancelling": NO_DISPATCHER}
    assert reasons(ledger) == waiting
    ledger.acquire_lease("one", 60)
    assert reasons(ledger) == {"open": "", "paused": "An operator.", "cancelling": ""}


@pytest.fixture
def open_batch(ledger: RedisLedger, redis_server, monkeypatch) -> str:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()
    ledger.batches.register(spec(BATCHES[0]))
    ledger.batches.open(BATCHES[0])
    return BATCHES[0]


def cutout(*arguments: str) -> str:
    return CliRunner().invoke(main.app, arguments).stdout


def test_the_verbs_that_need_a_dispatcher_say_so(open_batch: str) -> None:
    assert json.loads(cutout("status", open_batch, "--json"))["stalled_reason"] == NO_DISPATCHER
    assert NO_DISPATCHER not in cutout("pause", open_batch)
    assert cutout("resume", open_batch).splitlines()[-1] == NO_DISPATCHER
    assert cutout("cancel", open_batch).splitlines()[-1] == NO_DISPATCHER
    assert cutout("status").splitlines()[-1] == f"{open_batch}: {NO_DISPATCHER}"


def test_a_batch_that_is_being_cancelled_is_not_retried(
    ledger: RedisLedger, open_batch: str
) -> None:
    ledger.lines.finish(open_batch, Outcome(line=0, key="a.jpg", status=Status.FAILED))
    ledger.batches.cancel(open_batch)
    with pytest.raises(CutoutError, match="cancelling"):
        control.retry(ledger, open_batch)


def test_only_an_open_batch_is_expected_to_end(ledger: RedisLedger, open_batch: str) -> None:
    ledger.acquire_lease("one", 60)
    ledger.batches.set_eta(open_batch, 1_900_000_000)
    assert f"{open_batch}: Expected to end at 2030-03-17" in cutout("status")
    for stop in (ledger.batches.set_stalled_reason, ledger.batches.pause):
        stop(open_batch, "A reason.")
        assert "Expected" not in cutout("status")
        assert json.loads(cutout("status", open_batch, "--json"))["eta"] is None
