"""A small cluster on this machine: real Redis, dispatcher and workers, for the drills to harm."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract import names
from contract.batch import BatchSpec, Progress
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import Recipe
from contract.storage import open_store
from producer.batches.register import register
from support.catalogue import report_rows
from support.services import RedisServer

STAND_IN = Path(__file__).parent / "stand_in.py"
TIMES = {"CUTOUT_TIME_LIMIT": "30", "CUTOUT_VISIBILITY_TIMEOUT": "40", "CUTOUT_RETRY_DELAY": "0.2"}


@dataclass
class Cluster:
    redis: RedisServer
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    stand_in: bool = False
    """True: a network that takes a millisecond, and marked photographs do harm; see stand_in.py"""

    @property
    def ledger(self) -> RedisLedger:
        return RedisLedger(self.redis.url)

    def environment(self, **env: str) -> dict[str, str]:
        # what a killed process leaves in its temporary folder is removed with the test's own
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        # fixtures of whole modules start before each test names its model
        model = {"CUTOUT_MODEL": "u2netp"}
        cluster = {"CUTOUT_REDIS_URL": self.redis.url, "TMPDIR": str(temporary), **model, **TIMES}
        return {**os.environ, **cluster, **self.env, **env}

    def select(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Give this process the cluster's settings."""
        for name, value in self.environment().items():
            if name.startswith("CUTOUT_"):
                monkeypatch.setenv(name, value)

    def start(self, name: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        module, *verb = arguments
        command = [str(STAND_IN)] if self.stand_in else ["-m", module]
        return self.start_python(name, *command, *verb, **env)

    def start_python(self, name: str, *command: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a Python program; its output is added to NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command], env=self.environment(**env),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        return self.processes[name]

    def start_worker(self, children: int = 2, name: str = "worker", **env: str) -> None:
        self.start(name, "worker", "worker", "--concurrency", str(children), **env)

    def start_quarantine(self, name: str = "quarantine", **env: str) -> None:
        self.start(name, "worker", "worker", "--quarantine", **env)

    def start_dispatcher(self, name: str = "dispatcher", **env: str) -> None:
        self.start(name, "producer", "dispatch", **env)

    def children(self, name: str = "worker") -> list[psutil.Process]:
        return psutil.Process(self.processes[name].pid).children(recursive=True)

    def titled(self, text: str, name: str = "worker") -> psutil.Process | None:
        """Return the worker's first child whose process title contains the text."""
        for child in self.children(name):
            with suppress(psutil.Error):
                if text in " ".join(child.cmdline()):
                    return child
        return None

    def child_at(self, key: str, name: str = "worker") -> psutil.Process | None:
        """Return the child that is processing this photograph, by its process title."""
        return self.titled(f": {key} (", name)

    def kill(self, name: str) -> None:
        """SIGKILL a process and all its children at once, as if the machine had lost power."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def submit(self, source: Path | str, destination: Path | str, **options: Any) -> BatchSpec:
        recipe = options.pop("recipe", Recipe(model="u2netp"))
        return register(self.ledger, str(source), str(destination), recipe, **options)

    def closed(self, spec: BatchSpec) -> Progress | None:
        progress = self.ledger.batches.progress(spec.id)
        return progress if progress.state == "closed" else None

    def report(self, spec: BatchSpec) -> list[dict[str, str]]:
        """Return the rows of a closed batch's report.csv."""
        store = open_store(spec.destination)
        return report_rows(store.get(names.report_key(spec.id, "csv")).data.decode())

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()
