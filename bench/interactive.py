"""Measures the latency of cutouts over HTTP while a catalogue is processed: `make bench-latency`.

A real Redis, dispatcher, API server and workers. Photographs are uploaded one after the other with
`Prefer: wait`, after pauses of random length, in four situations in turn: with and without a worker
started with `--interactive`, each while a batch keeps every other worker process busy and while
they are idle. Prints the latencies and saves them in bench/results/interactive.md.
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
from pathlib import Path

import httpx
from compare import ROOT
from latencies import RESERVED_BUSY, RESERVED_IDLE, SHARED_BUSY, SHARED_IDLE, Latencies, table
from meter import OTHER_PROGRAMS, Meter, running
from photographs import photographs

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError
from contract.interpreter import python_command
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import recipe_for
from producer.batches import control
from producer.batches.register import register
from producer.batches.report.rows import current
from producer.local import redis_server
from worker.cpu.count import available_cpus, default_children

PAUSE_SECONDS = (0.05, 0.8)
"""Shortest and longest pause between cutouts: random, so as not to keep step with the batch."""
DIFFERENT_PHOTOGRAPHS = 20
"""Used again and again."""
BATCH_IMAGES = 20_000
"""Links to the photographs: more than the workers can process meanwhile."""
WARM_UP_CUTOUTS = 3
SEED = 3
START_SECONDS = 120
MODEL_LOAD_SECONDS = 2


class Bench:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.latencies: defaultdict[str, Latencies] = defaultdict(Latencies)
        self._options = options
        self._folder = folder
        self._random = random.Random(SEED)  # noqa: S311 - only spreads the requests
        cache, samples = ROOT / "photographs" / "samples", Path("samples")
        self._small = photographs(samples, cache, options.megapixels, DIFFERENT_PHOTOGRAPHS)
        self._large = photographs(samples, cache, options.bulk, DIFFERENT_PHOTOGRAPHS)
        for name in ("redis", "store", "in", "out"):
            (folder / name).mkdir()
        self._socket = redis_server.socket_path()
        self._port = _free_port()
        self._env = {
            "CUTOUT_REDIS_URL": f"unix://{self._socket}",
            "CUTOUT_STATE_DIR": str(folder / "state"),
            "CUTOUT_MODEL": options.model,
            "CUTOUT_WEB_STORE": str(folder / "store"),
            "CUTOUT_WEB_PORT": str(self._port),
        }
        os.environ.update(self._env)
        self._ledger = RedisLedger(self._env["CUTOUT_REDIS_URL"])
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=120)

    @contextmanager
    def stack(self) -> Iterator[None]:
        """Run everything but the reserved worker, with an empty queue."""
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._socket.parent, ignore_errors=True)
            redis = redis_server.command(self._folder / "redis", self._socket)
            server = stack.enter_context(running(redis, self._folder / "redis.log"))
            redis_server.wait_until_ready(server, self._env["CUTOUT_REDIS_URL"])
            stack.enter_context(self._started("producer", "dispatch"))
            stack.enter_context(self._started("producer", "serve"))
            stack.enter_context(self._worker(names.bulk_queue(self._options.model)))
            _wait_until(self._responds)
            yield

    @contextmanager
    def _worker(self, queue: str, *arguments: str) -> Iterator[None]:
        with self._started("worker", "worker", *arguments) as process:
            _wait_until(lambda: self._serves(queue, process))
            time.sleep(MODEL_LOAD_SECONDS)
            yield

    def _serves(self, queue: str, process: "subprocess.Popen[bytes]") -> bool:
        if process.poll() is not None:
            log = (self._folder / "worker.log").read_text(encoding="utf-8")[-2000:]
            raise SystemExit(f"bench: a worker ended early; its log ends:\n{log}")
        workers = self._ledger.workers.list()
        return any(w.queue == queue and str(process.pid) in w.name for w in workers)

    @contextmanager
    def _started(self, package: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        log = self._folder / f"{arguments[0]}.log"
        with running(python_command(package, *arguments), log) as process:
            yield process

    def _responds(self) -> bool:
        try:
            return self._client.get("/healthz").is_success
        except httpx.TransportError:
            return False

    def measure(self) -> BatchSpec:
        """Go through the situations in turn, so a slow phase of the machine slows all of them."""
        for number in range(BATCH_IMAGES):
            photograph = self._large[number % DIFFERENT_PHOTOGRAPHS]
            os.link(photograph, self._folder / "in" / f"{number:06d}.jpg")
        reserved = ("--interactive", "--concurrency", "1")
        queue = names.interactive_queue(self._options.model)
        locations = str(self._folder / "in"), str(self._folder / "out")
        spec = register(self._ledger, *locations, recipe_for(self._options.model))
        control.pause(self._ledger, spec.id)
        for number in range(self._options.rounds):
            print(f"Round {number + 1} of {self._options.rounds}:", flush=True)
            with self._worker(queue, *reserved):
                self._measure_situation(RESERVED_IDLE)
                control.resume(self._ledger, spec.id)
                _wait_until(lambda: self._is_busy(spec))
                self._measure_situation(RESERVED_BUSY)
            self._measure_situation(SHARED_BUSY)
            control.pause(self._ledger, spec.id)
            _wait_until(lambda: not self._ledger.batches.progress(spec.id).claimed)
            self._measure_situation(SHARED_IDLE)
        return spec

    def _is_busy(self, spec: BatchSpec) -> bool:
        return self._ledger.batches.progress(spec.id).claimed >= default_children(available_cpus())

    def _measure_situation(self, situation: str) -> None:
        latencies = self.latencies[situation]
        for number in range(WARM_UP_CUTOUTS):
            self._cut_out(number)
        seconds: list[float] = []
        with Meter(os.getpid()) as meter:
            start = time.time()
            for number in range(self._options.cutouts):
                time.sleep(self._random.uniform(*PAUSE_SECONDS))
                total, in_worker = self._cut_out(number)
                seconds.append(total)
                latencies.worker_seconds.append(in_worker)
            end = time.time()
        latencies.seconds += seconds
        share = meter.cpu(start, end)[OTHER_PROGRAMS] / (end - start) / available_cpus()
        latencies.other_programs.append(share)
        print(
            f"  {situation:30} {statistics.median(seconds) * 1000:5.0f} ms"
            f"   (other programs used {share:.0%} of the machine)",
            flush=True,
        )

    def _cut_out(self, number: int) -> tuple[float, float]:
        """Return the seconds of one request, and those within a worker process."""
        photograph = self._small[number % DIFFERENT_PHOTOGRAPHS].read_bytes()
        start = time.perf_counter()
        response = self._client.post(
            "/v1/cutouts", files={"image": ("a.jpg", photograph)}, headers={"Prefer": "wait=60"}
        )
        seconds = time.perf_counter() - start
        body = response.json()
        if response.status_code != 200 or body["status"] != "done":
            raise SystemExit(f"bench: {response.status_code} {response.text}")
        return seconds, sum(body["milliseconds"].values()) / 1000

    def batch_image_seconds(self, spec: BatchSpec) -> float:
        """Return the median duration of the batch's images, without the wait for a CPU slot."""
        rows = [row.milliseconds for row in current(self._ledger, spec)]
        return statistics.median(sum(row.values()) - row.get("wait", 0) for row in rows) / 1000


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: a process was not ready after {START_SECONDS} s.")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cutouts", type=int, default=20, help="per situation and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="u2netp")
    parser.add_argument("--megapixels", type=float, default=1, help="of a cutout's photograph")
    parser.add_argument("--bulk", type=float, default=4, help="megapixels of the batch's")
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    options = parser.parse_args()
    pull = python_command("worker", "models", "pull", options.model)
    if subprocess.run(pull, check=False, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit(1)  # the command has printed the reason
    ROOT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        bench = Bench(options, Path(name).resolve())
        with bench.stack():
            spec = bench.measure()
            text = table(options, bench.latencies, bench.batch_image_seconds(spec))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "interactive.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    try:
        main()
    except CutoutError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
