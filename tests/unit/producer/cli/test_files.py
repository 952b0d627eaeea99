import pytest
from typer.testing import CliRunner

from producer.cli.main import app


@pytest.mark.parametrize(
    "arguments", [["out"], ["--all"], ["b-1", "out", "more"], ["--all", "b-1", "out"]]
)
def test_rebuild_takes_a_batch_and_a_destination_or_all_and_a_destination(arguments):
    answer = CliRunner().invoke(app, ["rebuild", *arguments], env={"COLUMNS": "200"})
    assert answer.exit_code == 2
    assert "DST" in answer.output


def test_prune_needs_an_age():
    answer = CliRunner().invoke(app, ["prune", "out"], env={"COLUMNS": "200"})
    assert answer.exit_code == 2
    assert "--older-than" in answer.output
