"""What goes first: cutouts before the images of a batch, and batches of a higher priority."""

import time
from pathlib import Path

from support.catalogue import photograph
from support.cluster import Cluster
from support.drill import Drill, queue
from support.services import until
from support.stand_in import mark

from contract import names
from contract.batch import BatchSpec
from contract.cutout import CutoutSpec
from contract.job import ManifestLine
from contract.recipe import Recipe
from contract.schedule import Schedule
from contract.settings import Settings
from producer.dispatch import cutouts
from worker.app import NICENESS

IMAGES = 12


def submit_cutout(cluster: Cluster, folder: Path, name: str) -> BatchSpec:
    photograph(folder / name)
    line = ManifestLine(key=name, size=1, etag=name)
    cutout = CutoutSpec(photograph=line, destination_key=f"{name}.png")
    spec = cutouts.cutout_spec(
        cutouts.new_cutout_id(), folder.as_uri(), folder.as_uri(), Recipe(model="u2netp"), cutout
    )
    cutouts.submit(cluster.ledger, spec, cutout, Settings())
    return spec


def slow_batch(drill: Drill) -> BatchSpec:
    drill.fill(IMAGES)
    for number in range(IMAGES):
        mark(drill.key_path(number), "slow:0.5")
    spec = drill.submit()
    drill.cluster.start_dispatcher()
    redis = drill.cluster.ledger.connection.client
    until(lambda: redis.llen(queue()) == IMAGES)
    return spec


def settled_log(log: str) -> list[str]:
    """Return the IDs in the order in which images were settled, from the worker's log."""
    lines = [line for line in log.splitlines() if "image settled" in line]
    return [line.split('"batch": "')[1].split('"')[0] for line in lines]


def publishes_here(monkeypatch, drill: Drill) -> None:
    drill.cluster.env["CUTOUT_LOG_FORMAT"] = "json"
    drill.cluster.select(monkeypatch)


def test_cutouts_go_first(drill: Drill, tmp_path, monkeypatch) -> None:
    """Both when a worker starts with a full queue, and while it works."""
    publishes_here(monkeypatch, drill)
    cluster, folder = drill.cluster, tmp_path / "cutouts"
    batch = slow_batch(drill)
    early = [submit_cutout(cluster, folder, f"{number}.jpg").id for number in range(3)]
    cluster.start_worker(1)
    drill.settled(batch, 3)
    late = submit_cutout(cluster, folder, "late.jpg").id
    known = drill.progress(batch).settled
    drill.closed(batch)
    until(lambda: cluster.ledger.batches.progress(late).state == "closed")

    order = settled_log(cluster.log("worker"))
    assert order[:3] == early  # first come, first served
    before = order[: order.index(late)].count(batch.id)
    # the image being processed, and one more if it was settled meanwhile; none is prefetched
    assert before - known <= 2
    assert len(order) == IMAGES + 4
    assert drill.audit(batch)["done"] == IMAGES


def test_a_worker_with_two_children_prefetches_no_image_of_a_batch(
    drill: Drill, monkeypatch
) -> None:
    """With prefetching, Celery would hold one more message per child."""
    publishes_here(monkeypatch, drill)
    batch = slow_batch(drill)
    drill.cluster.start_worker(2)
    held = []
    redis = drill.cluster.ledger.connection.client
    while not drill.cluster.closed(batch):
        held.append(redis.hlen("unacked"))
    assert max(held) == 2
    assert redis.llen(names.interactive_queue("u2netp")) == 0


def test_a_reserved_worker_leaves_a_batch_alone(drill: Drill, tmp_path, monkeypatch) -> None:
    publishes_here(monkeypatch, drill)
    cluster = drill.cluster
    batch = slow_batch(drill)
    cluster.start("reserved", "worker", "worker", "--interactive", "--concurrency", "1")
    cutout = submit_cutout(cluster, tmp_path / "cutouts", "a.jpg").id
    until(lambda: cluster.ledger.batches.progress(cutout).state == "closed")
    assert drill.progress(batch).settled == 0
    cluster.start_worker(1)
    until(lambda: cluster.titled("cutout worker"))
    nice = {name: cluster.titled("cutout worker", name).nice() for name in ("reserved", "worker")}
    assert nice["worker"] == nice["reserved"] + NICENESS
    assert settled_log(cluster.log("reserved")) == [cutout]


# batches among each other


def test_a_batch_of_higher_priority_goes_first(drill: Drill, tmp_path: Path, monkeypatch) -> None:
    """Behind a queue that is as short as the workers need."""
    publishes_here(monkeypatch, drill)
    cluster, few = drill.cluster, 10
    drill.fill(drill.size(100, 1000))
    for number in range(drill.size(100, 1000)):
        mark(drill.key_path(number), "slow:0.1")
    low = drill.submit()
    cluster.start_worker(2)
    until(cluster.ledger.workers.list)
    cluster.start_dispatcher()
    drill.settled(low, 10)
    for number in range(few):
        photograph(tmp_path / "urgent" / f"{number}.jpg", number)
    schedule = Schedule(priority=1)
    high = cluster.submit(tmp_path / "urgent", tmp_path / "urgent-out", schedule=schedule)
    known = drill.progress(low).settled
    began = time.monotonic()
    until(lambda: cluster.closed(high))
    took = time.monotonic() - began
    passed_over = drill.progress(low).settled - known

    assert drill.progress(low).state == "open"
    drill.closed(low, 600)
    order = settled_log(cluster.log("worker"))
    places = [place for place, batch in enumerate(order) if batch == high.id]
    # the last two may be late: either child may be held up with the image in its hands
    first, last = places[0], places[-3]
    assert order[first:last].count(low.id) <= 3
    injected = f"10 images of priority 1 behind {low.total:,} of 0.1 s ({passed_over} went before)"
    drill.passed(low, injected, 10, took)
