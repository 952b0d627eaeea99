"""The verbs of batches, without a Redis."""

from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from contract.batch import BatchSpec, Progress, State
from contract.recipe import MODEL_NAMES, Recipe
from producer.cli import main
from producer.cli.batches import _table

ID = "b-20261128-145709-abcdef12"


def drawn(state: State, model: str, total: int, failed: int) -> list[str]:
    """Return the lines of `cutout status` of one batch on a terminal of 80 columns."""
    spec = BatchSpec(
        id=ID, source="in", destination="out", recipe=Recipe(model=model), total=total,
        created=0, segment_lines=100,
    )  # fmt: skip
    progress = Progress(
        spec=spec, state=state, done=total - failed, skipped=0, failed=failed, issued=0,
        quarantined=0, claimed=0, deferred=0, duplicates=0, epoch=0, closed=None,
        stalled_reason="", retry_at=None, eta=None,
    )  # fmt: skip
    console = Console(file=StringIO(), width=80)
    console.print(_table([progress]))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("model", sorted(MODEL_NAMES))
@pytest.mark.parametrize("state", ["registering", "open", "paused", "cancelling", "closed"])
def test_status_fits_80_columns(state: State, model: str) -> None:
    for total, failed in ((4, 0), (999_999, 1_234), (10_000_000, 9_999)):
        header, _, *rows = drawn(state, model, total, failed)
        assert header.split() == ["batch", "state", "model", "total", "done", "skipped", "failed"]
        fields = rows[0].split()
        assert fields[:2] == [ID, state]
        assert fields[-4:] == [f"{n:,}" for n in (total, total - failed, 0, failed)]
        assert "".join([fields[2], *(row.strip() for row in rows[1:])]) == model
        assert max(map(len, (header, *rows))) <= 80


def test_retry_names_the_codes_of_images_only() -> None:
    for code in ("nonsense", "clock_skew", "invalid_api_key"):
        result = CliRunner().invoke(main.app, ["retry", ID, "--code", code])
        assert result.exit_code == 2
        assert code in result.stderr
        assert "object_missing" in result.stderr
        assert "queue_full" not in result.stderr
