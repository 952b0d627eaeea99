"""A Redis and the product's processes for `scale.py`, and what each of them costs."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from meter import peak_rss
from redis_meter import RedisMeter

from contract.batch import Progress
from contract.ledger.redis_ledger import RedisLedger
from producer.local import redis_server

BENCH = Path(__file__).parent
POLL_SECONDS = 0.05


@dataclass
class Cost:
    """What a process has used so far."""

    cpu_seconds: float = 0
    peak_rss: int = 0
    """bytes, as recorded by the kernel (VmHWM)"""


@dataclass
class Cluster:
    folder: Path
    ledger: RedisLedger
    meter: RedisMeter
    env: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)

    @property
    def redis(self) -> Any:
        return self.ledger.connection.client

    def clients(self) -> int:
        """Return the number of connections to Redis."""
        return int(self.redis.info("clients")["connected_clients"])

    def scripts(self) -> dict[str, str]:
        """Return the names of the ledger's scripts by their digests."""
        return {script.sha: name for name, script in self.ledger.connection.scripts.items()}

    def start(self, name: str, *command: str) -> None:
        """Start a Python program; its log is NAME.log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command], env={**os.environ, **self.env},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def submit(self, name: str, count: int) -> tuple[str, float]:
        """Submit a manifest of `count` photographs; return the batch's ID and the seconds taken."""
        manifest, source = self.folder / f"{name}.csv", self.folder / "photographs"
        source.mkdir(exist_ok=True)
        write_manifest(manifest, count)
        start = time.monotonic()
        with (self.folder / f"{name}.id").open("w+b") as file:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "producer", "submit", str(source), str(self.out(name)),
                 "--manifest", str(manifest)],
                env={**os.environ, **self.env}, stdout=file,
            )  # fmt: skip
            while self.processes[name].poll() is None:
                self.sample()
                time.sleep(POLL_SECONDS)
            seconds = time.monotonic() - start
            if self.processes.pop(name).returncode:
                raise SystemExit(f"bench: submitting {count} lines failed")
            file.seek(0)
            return file.read().decode().strip(), seconds

    def out(self, name: str) -> Path:
        """Return the destination of a submitted batch."""
        return self.folder / name / "out"

    def progress(self, batch: str) -> Progress:
        self.check()
        progress = self.ledger.batches.progress(batch)
        if progress.state == "paused":
            raise SystemExit(f"bench: the batch paused itself: {progress.stalled_reason}")
        return progress

    def check(self) -> None:
        """Record the costs of the running processes. Ends the benchmark if one of them ended."""
        self.sample()
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text()[-2000:]
                raise SystemExit(f"bench: {name} ended; its log ends:\n{log}")

    def workers_run(self) -> bool:
        self.check()
        return bool(self.ledger.workers.list())

    def sample(self) -> None:
        """Record the costs of the running processes, descendants added to their parents."""
        for name, process in self.processes.items():
            with suppress(psutil.Error, OSError, IndexError):
                family = [psutil.Process(process.pid)]
                family += family[0].children(recursive=True)
                times = [member.cpu_times() for member in family]
                cost = self.costs.setdefault(name, Cost())
                cost.cpu_seconds = sum(one.user + one.system for one in times)
                cost.peak_rss = max(cost.peak_rss, *map(peak_rss, family))

    def stop(self, *names: str) -> None:
        """End processes, by default all."""
        ending = [self.processes.pop(name) for name in names or tuple(self.processes)]
        for process in ending:
            process.terminate()
        for process in ending:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def write_manifest(path: Path, count: int) -> None:
    """List `count` photographs that do not exist: nothing in this benchmark reads one."""
    with path.open("w", encoding="utf-8") as file:
        file.write("key,size,etag\n")
        for number in range(count):
            file.write(
                f"catalogue/{number // 1000:06d}/product-{number:09d}-front.jpg,"
                f"{3_456_789 + number},{number:032x}\n"
            )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a Redis, as `cutout run` does, in a temporary folder; end all processes at exit."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    with tempfile.TemporaryDirectory(prefix="cutout-scale-") as name:
        folder = Path(name)
        socket = redis_server.socket_path()
        data = folder / "redis"
        data.mkdir()
        server = subprocess.Popen(
            redis_server.command(data, socket), stdout=subprocess.DEVNULL, start_new_session=True
        )
        with suppress(OSError):  # needs root; without it, waits for a CPU count as slow commands
            policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK  # not those that rewrite its file
            os.sched_setscheduler(server.pid, policy, os.sched_param(1))
        url = f"unix://{socket}"
        running: Cluster | None = None
        try:
            redis_server.wait_until_ready(server, url)
            ledger = RedisLedger(url)
            env = {
                "CUTOUT_REDIS_URL": url, "CUTOUT_STATE_DIR": str(folder / "state"),
                "CUTOUT_LOG_LEVEL": "warning", "CUTOUT_FLOWER_PORT": "0",
                "PYTHONPATH": str(BENCH),
            }  # fmt: skip
            running = Cluster(folder, ledger, RedisMeter(ledger.connection.client), env)
            yield running
        finally:
            if running:
                running.stop()
            server.terminate()
            server.wait()
            socket.unlink(missing_ok=True)
            socket.parent.rmdir()
