"""The whole cluster on one machine: Redis, dispatcher, workers and Flower as child processes."""

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import urllib3

from contract import names
from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.interpreter import python_command
from contract.ledger.connection import Connection
from contract.ledger.redis_ledger import RedisLedger
from contract.ledger.server_check import examine
from contract.paths import expand
from contract.secret_files import SUFFIX
from contract.settings import Settings
from producer.local import redis_server

STOP_SECONDS = 30
"""Seconds after SIGTERM until a process that is still running is killed. Workers have longer: the
time limit of an image."""
ANY_PORT = 0
FLOWER_SECONDS = 20
"""Seconds to wait until Flower receives the workers' events; then the stack starts without."""
WORKERS = ("worker", "quarantine")
METRICS_PORTS = ("dispatcher", *WORKERS)
"""Processes with metrics: the first at CUTOUT_METRICS_PORT, the others at the ports after it."""
STOP_ORDER = (("dispatcher", *WORKERS), ("flower",), ("redis",))
"""Those of one group stop at the same time."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Stack:
    """A context manager: starts the processes, and stops them in STOP_ORDER, whatever happens.

    Each process has a session of its own, so Ctrl-C reaches this process only, which then stops the
    others in order.
    """

    def __init__(self, config: Settings, model: str, workers: int | None, folder: Path) -> None:
        self.folder = folder
        self.redis_url = config.redis_url or ""
        self.flower_url = ""
        self.warnings: list[CutoutError] = []
        """what an operator should change about Redis"""
        self.ledger: RedisLedger
        self._config = config
        self._model = model
        self._workers = workers
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        try:
            with _writable(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._cleanup.enter_context(_exclusive(self.folder))
            if self._config.redis_url is None:
                self._start_redis()
            else:
                address = self._config.require_redis_address()
                self.warnings = examine(Connection(address, retries=2))
                self.ledger = RedisLedger(address)
            self._start_flower(self._config.flower_port)
            for name in WORKERS:
                self._start_worker(name)
            self._start("dispatcher", "producer", "dispatch")
            self._await_flower()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise PermanentError (`stack_failed`) if a process has ended.

        Not for Flower, which the images do not need, and not for a worker that stopped because it
        was deaf or stuck: that one is started again.
        """
        for name, process in list(self._running.items()):
            if name != "flower" and (status := process.poll()) is not None:
                if name in WORKERS and status == os.EX_TEMPFAIL:
                    self._start_worker(name)
                    continue
                raise PermanentError(
                    ErrorCode.STACK_FAILED,
                    f"The {name} process ended with status {status}. Its log: {self._log(name)}.",
                )

    def stop(self) -> None:
        """Stop what is running: workers finish the images being processed, Redis stops last."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the stop
        for group in STOP_ORDER:
            running = {name: self._running.pop(name) for name in group if name in self._running}
            for process in running.values():
                process.terminate()
            for name, process in running.items():
                try:
                    process.wait(self._config.time_limit if name in WORKERS else STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        self._cleanup.close()

    def delete_redis_data(self) -> None:
        """Delete the Redis data of a finished job. Its report is beside the outputs."""
        shutil.rmtree(self.folder / "redis", ignore_errors=True)

    def _start_worker(self, name: str) -> None:
        concurrency = ["--concurrency", str(self._workers)] if self._workers else []
        options = {"worker": concurrency, "quarantine": ["--quarantine"]}[name]
        self._start(name, "worker", "worker", *options)

    def _start_redis(self) -> None:
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        path = redis_server.socket_path()
        self._cleanup.callback(shutil.rmtree, path.parent, ignore_errors=True)
        self.redis_url = f"unix://{path}"
        process = self._spawn("redis", redis_server.command(data, path))
        redis_server.wait_until_ready(
            process,
            self.redis_url,
            f"Its log: {self._log('redis')}. If its data is damaged, delete {data}: outputs stay.",
        )
        # messages of an interrupted run are outdated: the ledger knows what is unsettled
        queues = names.bulk_queue(self._model), names.quarantine_queue(self._model)
        self.ledger = RedisLedger(self.redis_url)
        self.ledger.batches.reset_messages(*queues)

    def _start_flower(self, wanted_port: int) -> None:
        port = _free_port(self._config.flower_address, wanted_port)
        address = self._config.flower_address
        self.flower_url = f"http://{f'[{address}]' if ':' in address else address}:{port}"
        self._start("flower", "producer", "flower", env={"CUTOUT_FLOWER_PORT": str(port)})

    def _await_flower(self) -> None:
        """Wait until Flower receives a worker's events: it never counts those sent before."""
        deadline = time.monotonic() + FLOWER_SECONDS
        restarted = False
        while time.monotonic() < deadline:
            if self._running["flower"].poll() is not None:
                if restarted:
                    break
                # a stack started at the same moment may have taken the port first
                restarted = True
                self._start_flower(ANY_PORT)
            self.check()
            with suppress(urllib3.exceptions.HTTPError):
                metrics = urllib3.request("GET", f"{self.flower_url}/metrics", timeout=2, retries=0)
                if b"flower_worker_online{" in metrics.data:
                    return
            time.sleep(0.2)
        if self._running["flower"].poll() is not None:
            self.flower_url = f"not running (see {self._log('flower')})"

    def _start(
        self, name: str, module: str, *arguments: str, env: dict[str, str] | None = None
    ) -> None:
        self._spawn(name, python_command(module, *arguments), env)

    def _spawn(
        self, name: str, command: list[str], env: dict[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        file_variable = "CUTOUT_REDIS_URL" + SUFFIX  # its content was read already
        port = self._config.metrics_port
        if port and name in METRICS_PORTS:
            port += METRICS_PORTS.index(name)
            env = {"CUTOUT_METRICS_PORT": str(port), **(env or {})}
        environment = {
            **{name: value for name, value in os.environ.items() if name != file_variable},
            "CUTOUT_REDIS_URL": self.redis_url,
            "CUTOUT_MODEL": self._model,
            **(env or {}),
        }
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=_end_with_parent(),  # noqa: PLW1509 - one system call
            )  # fmt: skip
        self._running[name] = process
        return process

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Turn an OSError at a job's folder into PermanentError (`invalid_setting`)."""
    try:
        yield
    except OSError as error:
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            f"CUTOUT_STATE_DIR: {folder} cannot be written ({error.strerror}).",
        ) from None


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Lock a job's folder. Raises PermanentError (`already_running`) if it is locked."""
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermanentError(
                ErrorCode.ALREADY_RUNNING, "The same command is running in another process."
            ) from None
        yield


def _end_with_parent() -> Callable[[], None] | None:
    """Return a child's start hook: on Linux, the kernel sends it SIGTERM if this process dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port(address: str, wanted: int) -> int:
    """Return the wanted port if it is free, else any free port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in (wanted, ANY_PORT):
        with suppress(OSError), socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            return int(probe.getsockname()[1])
    raise PermanentError(
        ErrorCode.INVALID_SETTING, f"CUTOUT_FLOWER_ADDRESS: no port is free at {address}."
    )


def job_folder(config: Settings, *identity: object) -> Path:
    """Return the folder for the Redis data and logs of one job: equal for an equal `identity`."""
    digest = hashlib.sha256("\0".join(map(str, identity)).encode()).hexdigest()[:16]
    return expand(config.state_dir) / digest
