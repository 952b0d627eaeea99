"""`cutout` on machines that lack what every machine has: a home, room, a current folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.catalogue import photograph
from support.commands import CUTOUT
from support.services import RedisServer

HOMELESS = """
import pwd, sys

def unknown(uid):
    raise KeyError(uid)

pwd.getpwuid = unknown
from {side}.cli.main import main
main()
"""


def run(*command: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, timeout=240, **options
    )


@pytest.fixture
def source(catalogue: Path) -> Path:
    photograph(catalogue / "a.jpg")
    return catalogue


def sentence(answer: subprocess.CompletedProcess[str]) -> str:
    """Return the only error of a command that could not be carried out."""
    assert answer.returncode == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("side", "verb"), [("producer", "run"), ("worker", "health")])
def test_no_home(weights, source, tmp_path, side, verb) -> None:
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HOME", "CUTOUT_STATE_DIR")
    }
    arguments = (source, tmp_path / "out") if verb == "run" else ()
    command = (sys.executable, "-P", "-c", HOMELESS.format(side=side), verb, *arguments)
    said = sentence(run(*command, env={**env, "CUTOUT_MODEL_DIR": str(weights)}))
    assert said.startswith("cutout: invalid_setting: The home folder in '~/.local/state/cutout'")


def test_a_temporary_folder_too_long_for_a_socket(weights, source, tmp_path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    env = {**os.environ, "TMPDIR": str(folder)}
    said = sentence(run(CUTOUT, "run", source, tmp_path / "out", env=env))
    assert said.startswith("cutout: invalid_setting: TMPDIR: ")


def test_a_state_folder_that_cannot_be_written(weights, source, tmp_path) -> None:
    env = {**os.environ, "CUTOUT_STATE_DIR": str(source / "a.jpg" / "state")}
    said = sentence(run(CUTOUT, "run", source, tmp_path / "out", env=env))
    assert said.startswith("cutout: invalid_setting: CUTOUT_STATE_DIR: ")


def test_a_current_folder_that_was_deleted(weights, source, tmp_path) -> None:
    folder = tmp_path / "gone"

    def run_there(*command: object) -> subprocess.CompletedProcess[str]:
        folder.mkdir()
        return run(*command, preexec_fn=lambda: (os.chdir(folder), folder.rmdir()))

    said = sentence(run_there(CUTOUT, "run", "photos", tmp_path / "out"))
    assert said.startswith("cutout: invalid_location: 'photos' is relative to the current folder")
    finished = run_there(CUTOUT, "run", source, tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert f"Outputs: {tmp_path / 'out'}" in finished.stderr


def test_one_photograph_and_a_redis_that_keeps_nothing(
    weights, source, tmp_path, redis_server: RedisServer
) -> None:
    redis_server.stop()
    redis_server.options = ("--appendonly", "no")
    redis_server.start()
    env = {**os.environ, "CUTOUT_REDIS_URL": redis_server.url}
    finished = run(CUTOUT, "run", source / "a.jpg", tmp_path / "out", env=env)
    assert finished.returncode == 0, finished.stderr
    assert "Warning: redis_persistence: Redis keeps no append-only file." in finished.stderr
    assert (tmp_path / "out" / "a.png").exists()
