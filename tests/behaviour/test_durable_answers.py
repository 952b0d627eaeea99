"""What is confirmed to a client is on the disk of a real Redis."""

from pathlib import Path

import pytest
from fastapi import Response
from typer.testing import CliRunner

from contract.ledger.redis_ledger import RedisLedger
from contract.settings import Settings, settings
from producer.cli import main
from producer.web.api_keys import Key
from producer.web.batches.resource import NewBatch
from producer.web.batches.routes import create_batch
from producer.web.context import Context

KEY = Key("shop", frozenset(), "")


@pytest.fixture
def waits(ledger: RedisLedger):
    """Return how often Redis was asked to wait for its disk."""
    ledger.connection.client.config_resetstat()
    return lambda: ledger.connection.client.info("commandstats")["cmdstat_waitaof"]["calls"]


def test_the_id_of_a_batch_is_answered_once_it_is_on_disk(ledger: RedisLedger, waits) -> None:
    context = Context(Settings(), ledger, None, "file:///store", ())
    new = NewBatch(source="s3://photographs/in", destination="s3://photographs/out")
    batch = create_batch(new, context, KEY, Response())
    assert batch.state == "registering"
    assert waits() == 1


def test_the_id_of_a_batch_is_printed_once_it_is_on_disk(
    ledger: RedisLedger, redis_server, waits, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    answer = CliRunner().invoke(main.app, ["submit", str(tmp_path / "in"), str(tmp_path / "out")])
    assert answer.exit_code == 0, answer.output
    assert waits() == 1
