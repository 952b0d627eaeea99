"""More workers: the same images per worker; one joins, one vanishes. Pixels are a pause.

The workers, each with a metrics port of its own, share one Redis and one S3 server (rclone's).
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support.drill import Drill
from support.services import free_port, rclone, until
from support.stand_in import mark

from contract.batch import BatchSpec, Selection

LINEAR_SHARE = 0.95


@pytest.fixture
def buckets(drill: Drill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The drill's two folders as buckets of an S3 server."""
    drill.out.mkdir()
    drill.locations = "s3://catalogue", "s3://out"
    with rclone(tmp_path) as server:
        server.select(monkeypatch)
        yield


@pytest.mark.timeout(1800)  # other programs may hold up so many processes
def test_scale_out(drill: Drill, buckets: None) -> None:
    """1, 4 and 16 workers of one process each; then one more, and one killed."""
    counts, pause, rounds = drill.size((1, 4), (1, 4, 16)), drill.size(1, 3), drill.size(3, 8)
    most = counts[-1] * (rounds + 2)
    drill.fill(most)
    for number in range(most):
        mark(drill.key_path(number), f"slow:{pause}")
    drill.cluster.start_dispatcher()
    alone = 0.0
    for count in counts:
        for number in range(len(drill.cluster.processes) - 1, count):
            start_worker(drill, f"worker {number}")
        until(lambda count=count: len(drill.cluster.ledger.workers.list()) == count, 600)
        warm_up(drill, count)
        seconds, duplicates = seconds_of(drill, count, rounds)
        alone = alone or seconds
        note(drill, count, f"{pause} s", alone / seconds, duplicates)

    started = time.monotonic()
    start_worker(drill, "joining")
    spec = first_image_of(drill, "joining")
    took = time.monotonic() - started
    drill.cluster.kill("joining")
    drill.closed(spec)
    injected = f"a worker joins {counts[-1]} others, and is killed while it processes an image"
    assert drill.passed(spec, injected, 10, took)["done"] == spec.total


def start_worker(drill: Drill, name: str) -> None:
    """Start a worker of one process, with metrics at a port of its own."""
    drill.cluster.start_worker(1, name, CUTOUT_METRICS_PORT=str(free_port()))


def warm_up(drill: Drill, workers: int) -> None:
    """Have every worker process an image: its first one takes longer."""
    warm: set[str] = set()
    while len(warm) < workers:
        spec = drill.submit(force=True, selection=Selection(limit=2 * workers))
        drill.closed(spec)
        warm |= {row.worker for row in drill.outcomes(spec).values()}


def seconds_of(drill: Drill, workers: int, rounds: int) -> tuple[float, int]:
    """Return the seconds for so many images per worker, between a first and a last image each.

    Audits their batch; also returns its duplicates.
    """
    selection = Selection(limit=workers * (rounds + 2))
    spec = drill.submit(force=True, selection=selection)
    drill.settled(spec, workers)
    seconds = drill.settled(spec, workers * (rounds + 1))
    drill.closed(spec)
    counts = drill.audit(spec)
    assert counts["done"] == spec.total
    return seconds, counts["duplicates"]


def note(drill: Drill, workers: int, pause: str, share: float, duplicates: int) -> None:
    """Add a row. The share of linear throughput depends on what else the machine does."""
    injected = f"workers: {workers}, each pausing {pause} for an image"
    verdict = "held" if share >= LINEAR_SHARE else "missed"
    measured = f"{share:.3f} of linear"
    bound = f"{LINEAR_SHARE} of linear"
    drill.note("drill", (drill.name, injected, bound, measured, "0", str(duplicates), verdict))


def first_image_of(drill: Drill, name: str) -> BatchSpec:
    """Return the batch of which a worker that starts processes an image.

    Submits it again if the others are faster than the start.
    """
    while True:
        spec = drill.submit(force=True)
        closed = partial(drill.cluster.closed, spec)
        until(lambda closed=closed: working(drill, name) or closed(), 600, pause=0.05)
        if working(drill, name):
            return spec


def working(drill: Drill, name: str) -> bool:
    return drill.cluster.titled(": shelf", name) is not None
