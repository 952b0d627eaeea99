"""Measures what else must stay small in a fleet, on a Redis of its own.

usage: scale_bounds.py [--keys 1000000] [--batches 1000] [--cutouts 10000] [--lines 1000000]

1. Registration of a bucket of --keys photographs whose listings take 100 ms a page.
2. Redis' time for `cutout status` with --batches batches.
3. Bytes of Redis that a cutout (a batch of one image) takes after it has ended.
4. The largest memory of `report`, the dispatcher that writes it, `audit`, `retry`, `rebuild`, and
   the dispatcher that cancels, with --lines lines.
"""

import argparse
import os
import socket
import sys
import time

from scale import wait_for
from scale_cluster import BENCH, Cluster, cluster

sys.path.insert(0, str(BENCH.parent / "tests"))
from support.generated_batch import generate, peak_megabytes
from support.services import S3Server, free_port

from contract.cutout import CutoutSpec
from contract.job import ManifestLine
from contract.outcome import Outcome, Output, Status
from contract.recipe import recipe_for
from producer.dispatch.cutouts import KEPT_SECONDS, cutout_spec, new_cutout_id

PAGE_SECONDS = 0.1
BUCKET = BENCH.parent / "tests" / "support" / "s3_stand_in.py"
PHOTOGRAPH = ManifestLine(key="in.jpg", size=3_456_789, etag="5d41402abc4b2a76b9719d911017c592")
OUTPUT = "cutouts/2026/01/01/0123456789abcdef.png"


def registration(running: Cluster, keys: int) -> None:
    """Register a bucket with `cutout submit`. The bucket's server uses the same CPUs."""
    port = free_port()
    running.start("bucket", str(BUCKET), str(port), str(keys), str(PAGE_SECONDS))
    wait_for(lambda: listens(port))
    running.env |= S3Server(f"http://127.0.0.1:{port}").environment
    out = running.out("listed")
    start = time.monotonic()
    running.start("submit", "-m", "producer", "submit", "s3://photographs/in", str(out))
    submit = running.processes.pop("submit")
    if submit.wait():
        raise SystemExit("bench: submitting the bucket failed")
    seconds = time.monotonic() - start
    running.stop("bucket")
    [batch] = running.ledger.batches.ids()
    lines = running.progress(batch).spec.total
    print(
        f"{lines:,} of {keys:,} keys of a bucket with {PAGE_SECONDS * 1000:.0f} ms a page:"
        f" {lines / seconds:,.0f} lines/s",
        flush=True,
    )
    running.ledger.batches.forget(batch)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def status(running: Cluster, batches: int) -> None:
    """Register empty batches and ask for the status of all."""
    for number in range(batches):
        generate(running.ledger, running.folder / f"status-{number}", 1, None, number)
    running.meter.forget_slow()
    before = running.meter.read()
    found = running.ledger.batches.progress_of(running.ledger.batches.ids())
    cost = running.meter.read().per_image(before, 1)
    assert len(found) == batches
    print(f"status of {batches:,} batches: {cost.microseconds / 1000:.1f} ms of Redis", flush=True)
    for spec in (progress.spec for progress in found):
        running.ledger.batches.forget(spec.id)


def ended_cutouts(running: Cluster, count: int) -> None:
    """Settle and close cutouts as worker and dispatcher do."""
    ledger, before = running.ledger, running.meter.memory()
    output = Output(key=OUTPUT, width=2400, height=1600, bytes=1_234_567)
    for _ in range(count):
        cutout = CutoutSpec(photograph=PHOTOGRAPH, destination_key=OUTPUT)
        spec = cutout_spec(
            new_cutout_id(), "s3://shop/photographs", "s3://shop/cutouts",
            recipe_for("u2netp-int8"), cutout,
        )  # fmt: skip
        ledger.cutouts.register(spec)
        ledger.lines.issue(spec.id, 1, 1, 300)
        ledger.lines.claim(spec.id, 0, "bench-1:0", 300, quarantine=False)
        ledger.lines.finish(
            spec.id,
            Outcome(
                line=0, key=PHOTOGRAPH.key, status=Status.DONE, outputs=[output],
                foreground=0.3125, source_etag=PHOTOGRAPH.etag,
                milliseconds=dict.fromkeys(("check", "fetch", "decode", "matte", "encode"), 123),
            ),
        )  # fmt: skip
        assert ledger.cutouts.close(spec.id, KEPT_SECONDS)
    each = (running.meter.memory() - before) / count
    print(f"an ended cutout takes {each:,.0f} bytes of Redis", flush=True)


def memory(running: Cluster, lines: int) -> None:
    """Run the verbs that read every line of a batch whose images all failed."""
    ledger, env = running.ledger, {**os.environ, **running.env}
    failed = generate(ledger, running.folder / "failed", lines, Status.FAILED, lines).id

    def peak(name: str, *arguments: str, closing: str = "") -> None:
        def wait() -> None:
            wait_for(lambda: running.progress(closing).state == "closed")

        start = time.monotonic()
        megabytes = peak_megabytes(*arguments, env=env, until=wait if closing else None)
        print(f"  {name}: {megabytes:.0f} MB, {time.monotonic() - start:.0f} s", flush=True)

    print(f"memory with {lines:,} lines:")
    peak("report", "report", failed)
    peak("report --format parquet", "report", failed, "--format", "parquet")
    peak("dispatch, writing the report", "dispatch", closing=failed)
    peak("audit", "audit", failed)
    peak("retry", "retry", failed)
    ledger.batches.forget(failed)
    peak("rebuild", "rebuild", failed, str(running.out("failed")))
    ledger.batches.forget(failed)
    fresh = generate(ledger, running.folder / "fresh", lines, None, lines + 1).id
    ledger.batches.cancel(fresh)
    peak("dispatch, cancelling", "dispatch", closing=fresh)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what else must stay small in a fleet.")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--cutouts", type=int, default=10_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    options = parser.parse_args()
    with cluster() as running:
        os.environ.update(running.env)
        registration(running, options.keys)
        status(running, options.batches)
        ended_cutouts(running, options.cutouts)
        memory(running, options.lines)


if __name__ == "__main__":
    main()
