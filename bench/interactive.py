"""What somebody who waits for one photograph feels of a catalogue: `make bench-latency`.

usage: interactive.py [--jobs 20] [--rounds 3] [--model NAME] [--megapixels 1] [--bulk 4]

A real Redis, a dispatcher, `cutout serve` and workers. One photograph after the other is uploaded
with `Prefer: wait`, after pauses of random length, in four situations in turn: beside a worker
with `--interactive`, when nothing else is to be done and when a batch keeps every child of the
other workers busy; without that worker, beside the same batch and when nothing else is to be done.
Prints the times and saves them in bench/results/interactive.md.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import load
import report
from compare import ROOT
from meter import ELSEWHERE, Meter, running

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError
from contract.ledger.redis_ledger import RedisLedger
from contract.ledger.workers import WorkerRegistry
from contract.recipe import recipe_for
from producer.batches import control, reports
from producer.batches.register import register
from producer.local import redis_server
from worker.cpu.count import available_cpus, default_children

RESERVED_IDLE, RESERVED = "one reserved child, idle", "one reserved child, a batch"
SHARED_IDLE, SHARED = "none reserved, idle", "none reserved, a batch"
SITUATIONS = (RESERVED_IDLE, RESERVED, SHARED_IDLE, SHARED)
PAUSES = (0.05, 0.8)  # seconds between jobs: no rhythm that the batch's could agree with
DIFFERENT = 20  # photographs, over and over
BACKLOG = 20_000  # links to them: more than the workers can cut out meanwhile
WARM_UP = 3  # jobs before the clock runs
SEED = 3
START_SECONDS = 120


@dataclass
class Found:
    seconds: list[float] = field(default_factory=list)
    """from the first byte sent to the last of the answer"""
    stages: list[float] = field(default_factory=list)
    """what of that a worker had the photograph in hand"""
    elsewhere: list[float] = field(default_factory=list)
    """of the machine, that other programs had, a round"""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.seconds, n=20, method="inclusive")[-1]


class Bench:
    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.found: defaultdict[str, Found] = defaultdict(Found)
        self._given = given
        self._folder = folder
        self._random = random.Random(SEED)  # noqa: S311 - spreads jobs, guards nothing
        photographs = ROOT / "photographs" / "samples"
        samples = Path("samples")
        self._small = load.photographs(samples, photographs, given.megapixels, DIFFERENT)
        self._large = load.photographs(samples, photographs, given.bulk, DIFFERENT)
        for name in ("redis", "store", "in", "out"):
            (folder / name).mkdir()
        self._socket = redis_server.socket_path()
        self._port = _free_port()
        self._env = {
            "CUTOUT_REDIS_URL": f"unix://{self._socket}",
            "CUTOUT_STATE_DIR": str(folder / "state"),
            "CUTOUT_MODEL": given.model,
            "CUTOUT_WEB_STORE": str(folder / "store"),
            "CUTOUT_WEB_PORT": str(self._port),
        }
        os.environ.update(self._env)
        self._ledger = RedisLedger(self._env["CUTOUT_REDIS_URL"])
        self._presence = WorkerRegistry(self._ledger.connection)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=120)

    @contextmanager
    def stack(self) -> Iterator[None]:
        """Run all but the reserved worker, with an empty queue."""
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._socket.parent, ignore_errors=True)
            redis = redis_server.command(self._folder / "redis", self._socket)
            server = stack.enter_context(running(redis, self._folder / "redis.log"))
            redis_server.wait_until_ready(server, self._env["CUTOUT_REDIS_URL"])
            stack.enter_context(self._started("producer", "dispatch"))
            stack.enter_context(self._started("producer", "serve"))
            stack.enter_context(self._worker(names.bulk_queue(self._given.model)))
            _until(self._answers)
            yield

    @contextmanager
    def _worker(self, queue: str, *arguments: str) -> Iterator[None]:
        with self._started("worker", "worker", *arguments) as process:
            _until(lambda: self._serves(queue, process))
            time.sleep(2)  # its children load the model
            yield

    def _serves(self, queue: str, process: "subprocess.Popen[bytes]") -> bool:
        if process.poll() is not None:
            raise SystemExit(f"bench: a worker ended; see {self._folder}.")
        return any(
            w.queue == queue and str(process.pid) in w.name for w in self._presence.workers()
        )

    @contextmanager
    def _started(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        command = [sys.executable, "-m", *arguments]
        with running(command, self._folder / f"{arguments[1]}.log") as process:
            yield process

    def _answers(self) -> bool:
        try:
            return self._client.get("/healthz").is_success
        except httpx.TransportError:
            return False

    def measure(self) -> BatchSpec:
        """Go through the situations in turn, so that what else slows the machine slows all."""
        for number in range(BACKLOG):
            os.link(self._large[number % DIFFERENT], self._folder / "in" / f"{number:06d}.jpg")
        reserved = ("--interactive", "--concurrency", "1")
        queue = names.interactive_queue(self._given.model)
        places = str(self._folder / "in"), str(self._folder / "out")
        spec = register(self._ledger, *places, recipe_for(self._given.model))
        control.pause(self._ledger, spec.id)
        for number in range(self._given.rounds):
            print(f"Round {number + 1} of {self._given.rounds}:", flush=True)
            with self._worker(queue, *reserved):
                self._jobs(RESERVED_IDLE)
                control.resume(self._ledger, spec.id)
                _until(lambda: self._busy(spec))
                self._jobs(RESERVED)
            self._jobs(SHARED)
            control.pause(self._ledger, spec.id)
            _until(lambda: not self._ledger.batches.progress(spec.id).claimed)
            self._jobs(SHARED_IDLE)
        return spec

    def _busy(self, spec: BatchSpec) -> bool:
        return self._ledger.batches.progress(spec.id).claimed >= default_children(available_cpus())

    def _jobs(self, situation: str) -> None:
        found = self.found[situation]
        for number in range(WARM_UP):
            self._job(number)
        seconds: list[float] = []
        with Meter(os.getpid()) as meter:
            start = time.time()
            for number in range(self._given.jobs):
                time.sleep(self._random.uniform(*PAUSES))
                took, stages = self._job(number)
                seconds.append(took)
                found.stages.append(stages)
            end = time.time()
        found.seconds += seconds
        found.elsewhere.append(meter.cpu(start, end)[ELSEWHERE] / (end - start) / available_cpus())
        print(
            f"  {situation:30} {statistics.median(seconds) * 1000:5.0f} ms"
            f"   (other programs had {found.elsewhere[-1]:.0%} of the machine)",
            flush=True,
        )

    def _job(self, number: int) -> tuple[float, float]:
        photograph = self._small[number % DIFFERENT].read_bytes()
        start = time.perf_counter()
        answer = self._client.post(
            "/v1/cutouts", files={"image": ("a.jpg", photograph)}, headers={"Prefer": "wait=60"}
        )
        took = time.perf_counter() - start
        body = answer.json()
        if answer.status_code != 200 or body["status"] != "done":
            raise SystemExit(f"bench: {answer.status_code} {answer.text}")
        return took, sum(body["milliseconds"].values()) / 1000

    def bulk_seconds(self, spec: BatchSpec) -> float:
        """Return how long a photograph of the batch took, without the wait for its turn."""
        rows = [row.milliseconds for row in reports.current(self._ledger, spec)]
        return statistics.median(sum(row.values()) - row.get("wait", 0) for row in rows) / 1000


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("bench: it did not come to it.")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def table(given: argparse.Namespace, found: dict[str, Found], bulk: float) -> str:
    """Return the figures as Markdown."""
    reserved_idle, reserved, shared_idle, shared = (found[name] for name in SITUATIONS)
    rows = [
        f"| {name} | {len(one.seconds)} | {one.median * 1000:.0f} ms | {one.p95 * 1000:.0f} ms"
        f" | {statistics.median(one.stages) * 1000:.0f} ms"
        f" | {statistics.mean(one.elsewhere):.0%} |"
        for name, one in ((name, found[name]) for name in SITUATIONS)
    ]
    within = {True: "kept", False: "MISSED"}
    return "\n".join(
        [
            (
                f"`{given.model}`, {given.megapixels:g} MP over HTTP beside a batch of"
                f" {given.bulk:g} MP, {default_children(available_cpus())} bulk children;"
                f" {report.machine()}"
            ),
            "",
            "| | jobs | median | p95 | in hand, median | other programs |",
            "|---|---:|---:|---:|---:|---:|",
            *rows,
            "",
            (
                f"One reserved child: p95 is {reserved.p95 / reserved_idle.p95:.2f} times the idle"
                f" one; at most 2: {within[reserved.p95 <= 2 * reserved_idle.p95]}."
            ),
            (
                f"None: p95 is {(shared.p95 - shared_idle.p95) * 1000:.0f} ms over the idle one; at"
                f" most one image of the batch, {bulk * 1000:.0f} ms:"
                f" {within[shared.p95 <= shared_idle.p95 + bulk]}."
            ),
            "",
        ]
    )


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    parser = argparse.ArgumentParser(description="What a catalogue costs who waits for one image.")
    parser.add_argument("--jobs", type=int, default=20, help="of a situation in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="u2netp")
    parser.add_argument("--megapixels", type=float, default=1, help="of a job")
    parser.add_argument("--bulk", type=float, default=4, help="megapixels of the batch")
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    given = parser.parse_args()
    pull = [sys.executable, "-m", "worker", "models", "pull", given.model]
    if subprocess.run(pull, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(1)  # it has said why
    ROOT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        bench = Bench(given, Path(name).resolve())
        with bench.stack():
            spec = bench.measure()
            figures = table(given, bench.found, bench.bulk_seconds(spec))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "interactive.md").write_text(figures, encoding="utf-8")
    print(f"\n{figures}")


if __name__ == "__main__":
    try:
        main()
    except CutoutError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
