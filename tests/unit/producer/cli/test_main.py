import signal
from importlib.metadata import PackageNotFoundError

import pytest
from typer.testing import CliRunner

from producer.cli import main
from producer.cli.options import enable_ctrl_c

VERBS = (
    "run", "up", "submit", "status", "watch", "schedule", "pause", "resume", "cancel", "retry",
    "rebuild", "prune", "report", "dispatch", "serve", "flower", "key", "recipes",
    "render", "compare",
)  # fmt: skip


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_verb_has_help(verb: str):
    result = CliRunner().invoke(main.app, [*filter(None, [verb]), "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_the_version_is_that_of_the_installed_distribution(monkeypatch):
    monkeypatch.setattr(main, "version", {"cutout-queue": "1.2.3"}.__getitem__)
    result = CliRunner().invoke(main.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, "cutout 1.2.3\n")


def test_without_metadata_the_version_is_unknown(monkeypatch):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(main, "version", missing)
    assert main.installed_version() == "unknown"


def test_ctrl_c_interrupts_a_process_that_was_started_with_it_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        enable_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
