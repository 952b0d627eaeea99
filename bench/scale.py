"""Measures what an image costs queue and ledger, and extrapolates it to a fleet.

usage: scale.py [--lines 1000000] [--images 10000] [--together]

1. Jobs published per second of one core.
2. --images photographs through real Celery workers, dispatcher and Flower, with a pipeline that
   does nothing: what Redis spends on an image.
3. --lines photographs from registration to the report. A consumer that makes the workers' calls to
   the ledger stands in for them (instant_consumer.py; --together settles a hundred lines in one
   round trip, for ten million). Meanwhile a batch of 20 lines is submitted behind them.

Then the walls: which resource of 1,000 workers ends first. Exit status 1 if a report lacks a line.
"""

import argparse
import gzip
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import walls
from redis_meter import PerImage
from scale_cluster import BENCH, POLL_SECONDS, Cluster, cluster
from stalls import Stalls, longest_around, watched

from contract.job import ImageJob, ManifestLine
from contract.line_bits import has_bit, no_bits, set_bit
from contract.outcome import Outcome
from contract.recipe import recipe_for
from contract.settings import settings

CHUNK = 100
KEY = "catalogue/000123/product-000123456-front.jpg"
LEASE_SECONDS = 300
SMALL_BATCH = 20
OUTSTANDING = 1000
"""Lines issued to measure what each takes in Redis."""
SMALL_BATCH_AT = 0.2
"""Share of the large batch that is settled when the small one is submitted."""
PUBLISHED_JOBS = 20_000
BOUND_MICROSECONDS = 5000
"""No command of Redis is to take longer."""
CHILDREN = 2


@dataclass
class Through:
    """Times of one batch, in seconds."""

    registered: float
    settled: float
    reported: float
    small_started: float
    small_closed: float
    per_image: PerImage


def wait_for(condition: Callable[[], bool]) -> float:
    """Poll until the condition holds; return the seconds that it took."""
    start = time.monotonic()
    while not condition():
        time.sleep(POLL_SECONDS)
    return time.monotonic() - start


def publish_rate(running: Cluster) -> tuple[float, float]:
    """Return jobs published per second, and per CPU second of this process."""
    from producer.dispatch.publisher import publish  # noqa: PLC0415 - reads the settings

    jobs = [
        ImageJob(
            batch="b-20260101-000000-aaaaaa", line=line, source="s3://photographs/in",
            destination="s3://photographs/out", recipe=recipe_for("u2netp"),
            photograph=ManifestLine(key=KEY, size=1, etag="1" * 32),
        )
        for line in range(CHUNK)
    ]  # fmt: skip
    publish("bench", jobs, time.time())
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(PUBLISHED_JOBS // CHUNK):
        publish("bench", jobs, time.time())
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    running.redis.delete("bench")
    return PUBLISHED_JOBS / seconds, PUBLISHED_JOBS / cpu_seconds


@dataclass
class CeleryPath:
    """Images through real Celery workers."""

    per_image: PerImage
    rate: float
    """images per second"""
    connections: int
    """Redis connections of the main process of a worker"""


def celery_path(running: Cluster, images: int) -> CeleryPath:
    """Process images that cost nothing with a worker of two children, watched by Flower."""
    before = running.clients()
    running.start("flower", "-m", "producer", "flower")
    running.start(
        "worker", str(BENCH / "no_op_worker.py"), "worker", "--concurrency", str(CHILDREN)
    )
    wait_for(running.workers_run)
    time.sleep(5)  # children start, Flower subscribes
    batch, _ = running.submit("celery", images)
    warm = images // 10
    running.start("dispatcher", "-m", "producer", "dispatch")
    wait_for(lambda: running.progress(batch).settled >= warm)
    start, first = time.monotonic(), running.progress(batch).settled
    reading = running.meter.read()
    wait_for(lambda: running.progress(batch).settled >= images - warm)
    last, seconds = running.progress(batch).settled, time.monotonic() - start
    cost = running.meter.read().per_image(reading, last - first)
    wait_for(lambda: running.progress(batch).state == "closed")
    running.stop("flower", "dispatcher")
    connections = running.clients() - before - CHILDREN
    running.stop("worker")
    return CeleryPath(cost, (last - first) / seconds, connections)


def through(running: Cluster, lines: int, *, together: bool) -> Through:
    """Take a batch from registration to its report, and a small one behind it."""
    giant, registered = running.submit("giant", lines)
    consumer = [str(BENCH / "instant_consumer.py"), *(["--together"] if together else [])]
    running.start("consumer", *consumer)
    reading = running.meter.read()
    running.start("dispatcher", "-m", "producer", "dispatch")
    start = time.monotonic()
    wait_for(lambda: running.progress(giant).settled >= SMALL_BATCH_AT * lines)
    small, _ = running.submit("small", SMALL_BATCH)
    small_started = wait_for(lambda: running.progress(small).settled > 0)
    small_closed = small_started + wait_for(lambda: running.progress(small).state == "closed")
    wait_for(lambda: running.progress(giant).settled >= lines)
    settled = time.monotonic() - start
    per_image = running.meter.read().per_image(reading, lines)
    reported = wait_for(lambda: running.progress(giant).state == "closed")
    return Through(registered, settled, reported, small_started, small_closed, per_image)


def unreported(report: Path, lines: int) -> int:
    """Return how many of the lines have no row, or more than one, in a report."""
    seen, rows = no_bits(lines), 0
    with gzip.open(report, "rt", encoding="utf-8") as file:
        for row in file:
            line = Outcome.model_validate_json(row).line
            rows += not has_bit(seen, line)
            set_bit(seen, line)
    return lines - rows


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(running: Cluster, lines: int, images: int, *, together: bool) -> int:
    rate, core_rate = publish_rate(running)
    print(f"publish: {rate:,.0f} jobs/s, {core_rate:,.0f} per CPU second", flush=True)

    celery = celery_path(running, images)
    cost = celery.per_image
    print(
        f"through Celery: {celery.rate:,.0f} images/s; Redis {cost.microseconds:.0f} us of CPU and"
        f" {cost.reads:.1f} reads an image; {celery.connections} connections a worker and 1 a child"
    )
    ordered = sorted(cost.calls.items(), key=lambda row: -row[1])
    print("  calls an image: " + ", ".join(f"{name} {calls:.2f}" for name, calls in ordered))

    running.meter.forget_slow()
    running.costs.clear()
    with watched() as stalls:
        result = through(running, lines, together=together)
    running.stop()
    print(
        f"{lines:,} lines: registered {lines / result.registered:,.0f}/s, published and settled"
        f" {lines / result.settled:,.0f}/s, reported in {result.reported:.0f} s;"
        f" Redis {result.per_image.microseconds:.0f} us an image"
    )
    print(
        f"  {SMALL_BATCH} lines submitted behind them: first settled after"
        f" {result.small_started:.2f} s, closed after {result.small_closed:.2f} s"
    )
    for name, spent in running.costs.items():
        print(
            f"  {name}: peak RSS {spent.peak_rss / 1e6:.0f} MB,"
            f" {spent.cpu_seconds / lines * 1e6:.0f} us of CPU a line"
        )
    print(f"  Redis: peak {running.meter.memory_peak() / 1e6:.0f} MB of data")
    print_slowest(running, stalls)
    out = running.out("giant")
    (report,) = out.glob("_cutout/*/report.jsonl.gz")
    stored = stored_bytes(out) / lines
    missing = unreported(report, lines)
    print(f"  stored beside the outputs: {stored:.0f} bytes a line; rows missing: {missing}")
    print(f"\n{walls.table(costs_of(running, celery, lines, stored))}")
    return 1 if missing else 0


def print_slowest(running: Cluster, stalls: Stalls) -> None:
    """Print the longest commands, and how long the machine itself stood still beside each."""
    for command, milliseconds in running.meter.slowest(5, running.scripts()):
        print(f"  slowest: {command} {milliseconds:.1f} ms")
    slow = running.meter.slow(BOUND_MICROSECONDS, running.scripts())
    print(
        f"  {len(slow)} commands took over {BOUND_MICROSECONDS // 1000} ms. The machine held up a"
        f" process that only sleeps in {len(stalls)} seconds, for"
        f" {max(stalls.values(), default=0):.1f} ms at most"
    )
    for one in slow:
        stall = longest_around(stalls, one.second)
        print(f"  {one.name} {one.milliseconds:.1f} ms, such a process {stall:.1f} ms")


def costs_of(running: Cluster, celery: CeleryPath, lines: int, stored: float) -> walls.Costs:
    return walls.Costs(
        redis_microseconds=celery.per_image.microseconds,
        dispatcher_microseconds=running.costs["dispatcher"].cpu_seconds / lines * 1e6,
        submit_microseconds=running.costs["giant"].cpu_seconds / lines * 1e6,
        redis_bytes_per_outstanding=outstanding_bytes(running),
        stored_bytes_per_line=stored,
        connections_per_worker=celery.connections,
    )


def outstanding_bytes(running: Cluster) -> float:
    """Return the bytes that Redis needs for each line that is issued and not settled."""
    from producer.dispatch.publisher import publish_issued  # noqa: PLC0415 - reads the settings

    batch, _ = running.submit("window", OUTSTANDING)
    lines, spec = running.ledger.lines, running.ledger.batches.progress(batch).spec
    photograph = ManifestLine(key=KEY, size=1, etag="1" * 32)
    before = running.meter.memory()
    for _ in range(OUTSTANDING // CHUNK):
        issued = lines.issue(batch, CHUNK, OUTSTANDING, LEASE_SECONDS, OUTSTANDING)
        publish_issued(spec, issued, lambda _: photograph)
    return (running.meter.memory() - before) / OUTSTANDING


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what an image costs queue and ledger.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=10_000, help="through real Celery workers")
    parser.add_argument("--together", action="store_true", help="settle in chunks: for 10,000,000")
    options = parser.parse_args()
    with cluster() as running:
        os.environ.update(running.env)  # for what runs in this process
        settings.cache_clear()
        return measure(running, options.lines, options.images, together=options.together)


if __name__ == "__main__":
    raise SystemExit(main())
