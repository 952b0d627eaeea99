"""A mixed fleet: two releases at once, and a host that fails where others succeed."""

import time
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.drill import Drill, queue
from support.services import until
from support.stand_in import mark

from contract import names
from contract.batch import BatchSpec
from contract.errors import CutoutError
from contract.outcome import Outcome
from contract.recipe import PIPELINE, Recipe
from contract.storage.batch_files import manifest_lines
from producer.batches.register import register
from producer.dispatch.publisher import job_for, publish
from worker.supervision import heartbeat

NEXT = PIPELINE + 1
MISDIRECTED = 15


def running(cluster: Cluster, count: int) -> bool:
    return len(cluster.ledger.workers.list()) == count


def start_next_release(cluster: Cluster, name: str = "next", *words: str) -> None:
    arguments = (f"PIPELINE={NEXT}", *words, "worker", "--concurrency", "2")
    cluster.start(name, "worker", *arguments)


def test_mixed_releases(drill: Drill, monkeypatch) -> None:
    """Two releases at once, each with a batch; then messages of one in the queue of the other."""
    cluster = drill.cluster
    cluster.select(monkeypatch)
    count = drill.size(40, 400)
    drill.fill(count)
    cluster.start_dispatcher()
    cluster.start_worker(2)
    start_next_release(cluster)
    until(lambda: running(cluster, 2))
    began = time.monotonic()
    spec = drill.submit()
    recipe = Recipe(model="u2netp", pipeline=NEXT)
    later = register(cluster.ledger, str(drill.catalogue), f"{drill.out}-next", recipe)
    drill.closed(spec)
    drill.closed(later)
    took = time.monotonic() - began
    assert "release_mismatch" not in cluster.log("worker") + cluster.log("next")
    assert serving_queues(drill, spec) == {queue()}
    assert serving_queues(drill, later) == {names.bulk_queue("u2netp", NEXT)}

    misled = misdirected(drill)
    drill.closed(misled)
    assert "release_mismatch" in cluster.log("next")
    assert drill.audit(later)["done"] == count
    assert drill.audit(misled)["done"] == MISDIRECTED
    injected = f"workers of two releases, {count} images for each; messages in the wrong queue"
    assert drill.passed(spec, injected, 60, took)["done"] == count


def serving_queues(drill: Drill, spec: BatchSpec) -> set[str]:
    """Return the queues of the workers that settled a batch."""
    return {row.worker.partition("-")[0] for row in drill.outcomes(spec).values()}


def misdirected(drill: Drill) -> BatchSpec:
    """Submit a batch all of whose messages also lie in the other release's queue.

    Too few for the circuit breaker, which would pause the batch for a minute.
    """
    source = drill.catalogue.with_name("misdirected")
    source.mkdir()
    for number in range(MISDIRECTED):
        (source / f"{number}.jpg").write_bytes(drill.key_path(number).read_bytes())
        mark(source / f"{number}.jpg", "slow:0.2")
    ledger = drill.cluster.ledger
    spec = register(ledger, str(source), f"{drill.out}-misdirected", Recipe(model="u2netp"))
    lines = enumerate(manifest_lines(spec, 0))
    jobs = [job_for(spec, number, photograph) for number, photograph in lines]
    publish(names.bulk_queue("u2netp", NEXT), jobs, time.time())
    return spec


def test_a_batch_waits_for_its_release(drill: Drill) -> None:
    """`cutout status` says for which; no worker of another release touches it."""
    cluster = drill.cluster
    drill.fill(3)
    recipe = Recipe(model="u2netp", pipeline=NEXT)
    cluster.start_worker(1)
    until(lambda: running(cluster, 1))
    cluster.start("dispatcher", "producer", "WORKER_START_SECONDS=0", "dispatch")
    spec = register(cluster.ledger, str(drill.catalogue), str(drill.out), recipe)
    until(lambda: drill.progress(spec).stalled_reason)
    said = drill.cutout("status").stdout
    assert f"{spec.id}: No worker serves u2netp (pipeline {NEXT}), only pipeline {PIPELINE}" in said
    assert drill.progress(spec).settled == 0
    start_next_release(cluster)
    drill.closed(spec)
    assert drill.progress(spec).stalled_reason == ""
    assert drill.audit(spec)["done"] == 3


# one bad host

QUICK = ("OUT_SECONDS=4", "HEARTBEAT_SECONDS=1", "WATCH_SECONDS=1")


def start_bad(drill: Drill, folder: Path, name: str = "bad") -> None:
    """Start a worker whose machine lacks the source's mount, and fails every image at once."""
    words = (*QUICK, f"HIDE={folder}", "worker", "--concurrency", "2")
    state = str(drill.cluster.folder / name)
    drill.cluster.start(name, "worker", *words, CUTOUT_STATE_DIR=state)


def unhealthy(drill: Drill, name: str, *, ready: bool) -> str:
    """Return what `cutout health` on the machine of a worker says is wrong with it, if anything."""
    try:
        heartbeat.check(drill.cluster.folder / name / "workers", ready=ready)
    except CutoutError as error:
        return error.message
    return ""


def out_of_rotation(drill: Drill) -> str:
    workers = drill.cluster.ledger.workers.list()
    return next((worker.out_of_rotation for worker in workers if worker.out_of_rotation), "")


def failed(drill: Drill, spec: BatchSpec) -> list[Outcome]:
    return [row for row in drill.outcomes(spec).values() if row.status == "failed"]


def test_a_bad_host(drill: Drill) -> None:
    """Among good ones: it leaves, no batch pauses, no image fails; repaired, it returns."""
    cluster = drill.cluster
    count = drill.size(300, 1000)
    drill.fill(count)
    for number in range(count):
        mark(drill.key_path(number), "slow:0.5")
    hidden = drill.catalogue.with_name("hidden")
    hidden.touch()
    cluster.start_dispatcher()
    start_bad(drill, hidden)
    cluster.start_worker(2, "one")
    cluster.start_worker(2, "two")
    until(lambda: running(cluster, 3))
    began = time.monotonic()
    spec = drill.submit()
    reason = until(lambda: out_of_rotation(drill))
    took = time.monotonic() - began
    assert "attempts failed with object_missing, where other workers succeed" in reason
    assert drill.progress(spec).state == "open"
    assert not unhealthy(drill, "bad", ready=False)
    said = until(lambda: unhealthy(drill, "bad", ready=True))
    assert "is out of rotation. Its last" in said
    until(lambda: "worker is in rotation again" in cluster.log("bad"))
    until(lambda: cluster.log("bad").count("worker is out of rotation") >= 2)  # still bad
    hidden.unlink()  # repaired
    until(lambda: not unhealthy(drill, "bad", ready=True))
    drill.closed(spec)
    assert "batch paused" not in cluster.log("dispatcher")
    assert not failed(drill, spec)
    injected = "one of three workers lacks the source's mount"
    assert drill.passed(spec, injected, 40, took)["done"] == count


@pytest.mark.parametrize("workers", [1, 3])
def test_a_fault_of_all_hosts_pauses_the_batch(drill: Drill, workers: int) -> None:
    cluster = drill.cluster
    drill.fill(drill.size(100, 400))
    hidden = drill.catalogue.with_name("hidden")
    hidden.touch()
    cluster.start_dispatcher()
    for number in range(workers):
        start_bad(drill, hidden, f"bad {number}")
    until(lambda: running(cluster, workers))
    spec = drill.submit()
    began = time.monotonic()
    reason = drill.paused(spec).stalled_reason
    took = time.monotonic() - began
    assert "attempts failed with object_missing" in reason
    assert not out_of_rotation(drill)
    hidden.unlink()
    until(lambda: drill.cutout("resume", spec.id).returncode == 0)
    drill.closed(spec)
    cluster_wide = f"no worker of {workers} has the source's mount: until it pauses itself"
    counts = drill.passed(spec, cluster_wide, 60, took)
    assert counts["done"] + counts["failed"] == spec.total
