"""What a user types may be any bytes: one sentence says so, and nothing ends with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.services import RedisServer
from typer.testing import CliRunner

from contract.errors import CutoutError
from contract.settings import Settings, settings, variable_of
from producer.cli import main

NAME = "caf\udce9.jpg"
"""The Latin-1 name of a file, as Python reads it."""
ID = "b-20260101-000000-000000"

pytestmark = pytest.mark.usefixtures("_redis")


@pytest.fixture
def _redis(redis_server: RedisServer, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_REDIS_URL", redis_server.url)
    settings.cache_clear()


IDS = ["status", "watch", "pause", "resume", "cancel", "retry", "report", "schedule"]
SUBMIT, PLAN = ["submit", "SRC", "DST"], ["plan", "SRC"]


@pytest.mark.parametrize(
    "command",
    [
        *([verb, NAME] for verb in IDS),
        ["retry", ID, "--code", NAME], ["report", ID, "--format", NAME],
        ["schedule", ID, "--deadline", NAME], ["schedule", ID, "--not-before", NAME],
        ["submit", NAME, "DST"], ["submit", "SRC", NAME],
        *([*SUBMIT, option, NAME] for option in (
            "--manifest", "--include", "--exclude", "--since", "--limit", "--sample", "--model",
            "--refine", "--passes", "--recipe", "--preset", "--priority", "--weight", "--cap",
            "--not-before", "--deadline", "--callback", "--name",
        )),
        ["plan", NAME], *([*PLAN, option, NAME] for option in ("--until", "--model", "--recipe")),
        ["run", NAME, "DST"], ["run", "SRC", NAME], ["run", "SRC", "DST", "--model", NAME],
        ["render", NAME, "--preset", "white"], ["render", ID, "--preset", NAME],
        ["render", ID, "--preset", "white", "--name", NAME],
        ["rebuild", NAME, "DST"], ["rebuild", ID, NAME], ["prune", NAME, "--older-than", "1"],
        ["compare", NAME, "white", "SRC"], ["compare", "alpha", "white", NAME],
        ["recipes", "show", NAME], ["recipes", "check", NAME],
        ["key", NAME], ["key", "shop", "--scope", NAME],
    ],
    ids=lambda command: " ".join(command).encode("ascii", "backslashreplace").decode(),
)  # fmt: skip
def test_an_argument_is_refused_in_a_sentence(command, tmp_path: Path, monkeypatch) -> None:
    folders = {"SRC": tmp_path / "in", "DST": tmp_path / "out"}
    folders["SRC"].mkdir()
    monkeypatch.setenv("CUTOUT_API_KEYS", str(tmp_path / "keys"))
    settings.cache_clear()
    done = CliRunner().invoke(main.app, [str(folders.get(word, word)) for word in command])
    assert done.exit_code in {1, 2}
    assert isinstance(done.exception, (CutoutError, SystemExit)), repr(done.exception)


@pytest.mark.slow
def test_the_bytes_of_a_command_line_are_read_so() -> None:
    command = [sys.executable, "-m", "producer", "submit", "/tmp", "/tmp/x", "--include", b"\xff*"]  # noqa: S108
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "is not Unicode." in done.stderr
    audit = [sys.executable, "-m", "producer", "audit", b"\xff"]
    done = subprocess.run(audit, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("cutout: batch_unknown: ")


TEXTS = [
    name for name, field in Settings.model_fields.items()
    if any(word in str(field.annotation) for word in ("str", "Path", "tuple"))
]  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_setting_is_refused_by_its_name(name: str, monkeypatch) -> None:
    monkeypatch.setenv(variable_of(name), os.fsdecode(b"caf\xe9"))
    settings.cache_clear()
    with pytest.raises(CutoutError) as caught:
        settings()
    assert str(caught.value).startswith(f"invalid_setting: {variable_of(name)}: it is not Unicode.")


@pytest.mark.parametrize("address", ["a..b", "x" * 64 + ".example"])
def test_an_address_that_is_no_name_of_a_host_is_refused(address: str, monkeypatch) -> None:
    monkeypatch.setenv("CUTOUT_FLOWER_ADDRESS", address)
    settings.cache_clear()
    with pytest.raises(CutoutError, match="neither an address nor the name of a host"):
        settings()
