import pytest
from typer.testing import CliRunner

from worker.cli.main import app

VERBS = [
    [], ["worker"], ["health"], ["audit"], ["verify"], ["sheet"],
    ["compare-outputs"],
    ["models"], *(["models", verb] for verb in ("list", "pull", "quantize", "verify")),
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help(verb: list[str]):
    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_no_verb_is_untested():
    verbs = {command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    assert {*verbs, "models"} == {verb[0] for verb in VERBS if verb}
