"""`cutout report ID --summary`, with a real Redis and a folder."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Output, Status
from contract.recipe import Recipe
from contract.settings import settings
from producer.batches.drain import drain
from producer.batches.register import register
from producer.cli import main


@pytest.fixture
def batch(ledger: RedisLedger, redis_server, tmp_path: Path, monkeypatch) -> str:
    """A batch of three, two of which are settled; one row is drained already."""
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.jpg").touch()
    recipe = Recipe(model="u2netp")
    spec = register(ledger, str(tmp_path / "in"), str(tmp_path / "out"), recipe)
    used = {"cpu_ms": 1800, "s3_requests": 3, "bytes_read": 10}
    used["outputs"] = [Output(key="a.png", bytes=20)]
    ledger.lines.finish(spec.id, Outcome(line=0, key="0.jpg", status=Status.DONE, **used))
    drain(ledger, spec)
    ledger.lines.finish(spec.id, Outcome(line=1, key="1.jpg", status=Status.DONE, **used))
    return spec.id


def report(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, ["report", *arguments])


def test_a_summary_has_the_cost_of_1000_images(batch: str) -> None:
    result = report(batch, "--summary", "--json", "--price-per-core-hour", "0.04")
    fields = json.loads(result.stdout)
    assert (fields["batch"], fields["state"], fields["done"]) == (batch, "open", 2)
    assert (fields["cpu_seconds"], fields["s3_requests"]) == (3.6, 6)
    assert (fields["bytes_read"], fields["bytes_written"]) == (20, 40)
    assert fields["cost_per_1000_images"] == pytest.approx(0.02)


def test_a_summary_can_be_read(batch: str) -> None:
    lines = report(batch, "--summary", "--price-per-core-hour", "0.04").stdout.splitlines()
    assert lines[1:] == [
        "images       2 done, 0 skipped, 0 failed",
        "CPU          3.6 s",
        "S3 requests  6",
        "read         20 bytes",
        "written      40 bytes",
        "CPU cost     0.02 per 1,000 images done, at 0.04 per core and hour",
    ]


@pytest.mark.parametrize("option", [["--json"], ["--price-per-core-hour", "1"]])
def test_options_of_the_summary_need_it(batch: str, option: list[str]) -> None:
    result = report(batch, *option)
    assert (result.exit_code, "need --summary" in result.output) == (2, True)
