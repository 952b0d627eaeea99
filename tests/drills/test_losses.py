"""What is killed here, in the middle of work: a child, a worker, a dispatcher, Redis."""

import signal
import time
from pathlib import Path

import psutil
from cluster import Cluster, photograph, report_rows
from services import until

from contract import names
from contract.records import manifest_lines

COUNT = 8


def fill(catalogue: Path, count: int = COUNT) -> None:
    for number in range(count):
        photograph(catalogue / f"shelf {number % 3}" / f"item-{number:03d}.jpg", number)


def strikes(cluster: Cluster, spec, key: str) -> int:
    """How often a process claimed the image without an orderly end."""
    manifest = manifest_lines(spec, 0)
    line = next(n for n, photograph in enumerate(manifest) if photograph.key == key)
    return int(cluster.ledger._redis.hget(names.redis_key(spec.id, "strikes"), line) or 0)


def assert_whole(cluster: Cluster, spec, out: Path, count: int = COUNT) -> None:
    """Every image settled once, counters exact, an output and a report row for each."""
    progress = cluster.closed(spec)
    assert (progress.done, progress.skipped, progress.failed) == (count, 0, 0)
    rows = report_rows((out / names.report_key(spec.id, "csv")).read_text())
    assert sorted(int(row["line"]) for row in rows) == list(range(count))
    assert {row["status"] for row in rows} == {"done"}
    assert len(list(out.glob("shelf */*.png"))) == count
    assert list((out / "_cutout/unfinished").iterdir()) == []


def test_a_child_killed_mid_image_loses_nothing(cluster: Cluster, catalogue, tmp_path) -> None:
    fill(catalogue)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker()
    key = "shelf 0/item-003.jpg"
    victim = until(lambda: cluster.child_at(key))
    until(lambda: strikes(cluster, spec, key) == 1, pause=0.01)  # it has claimed the image
    victim.send_signal(signal.SIGKILL)

    until(lambda: cluster.closed(spec), 90)

    assert_whole(cluster, spec, tmp_path / "out")
    rows = report_rows((tmp_path / "out" / names.report_key(spec.id, "csv")).read_text())
    # the strike shows as a second attempt
    assert {row["key"]: row["attempts"] for row in rows}[key] == "2"


def test_a_machine_that_vanishes_loses_nothing(cluster: Cluster, catalogue, tmp_path) -> None:
    fill(catalogue)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker(name="doomed")
    until(lambda: cluster.ledger.progress(spec.id).settled >= 2)
    cluster.kill("doomed")
    cluster.start_worker()

    until(lambda: cluster.closed(spec), 150)

    assert_whole(cluster, spec, tmp_path / "out")


def test_redis_restarted_mid_batch_loses_nothing(cluster: Cluster, catalogue, tmp_path) -> None:
    fill(catalogue)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker()
    until(lambda: cluster.ledger.progress(spec.id).settled >= 2)
    cluster.redis.stop(signal.SIGKILL)
    cluster.redis.start()

    until(lambda: cluster.closed(spec), 150)

    assert_whole(cluster, spec, tmp_path / "out")


def test_a_dispatcher_killed_is_followed_by_another(cluster: Cluster, catalogue, tmp_path) -> None:
    fill(catalogue)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher("first", CUTOUT_WINDOW="3")
    cluster.start_worker()
    until(lambda: cluster.ledger.progress(spec.id).settled >= 1)
    cluster.kill("first")
    cluster.start_dispatcher("second", CUTOUT_WINDOW="3")

    until(lambda: cluster.closed(spec), 90)

    assert_whole(cluster, spec, tmp_path / "out")


def test_a_message_lost_by_the_broker_is_issued_again(
    cluster: Cluster, catalogue, tmp_path
) -> None:
    fill(catalogue, 3)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher(CUTOUT_VISIBILITY_TIMEOUT="8", CUTOUT_TIME_LIMIT="6")
    queue = names.bulk_queue("u2netp")
    redis = cluster.ledger._redis
    until(lambda: redis.llen(queue) == 3)
    redis.lpop(queue)  # as a worker killed between taking a message and noting it
    cluster.start_worker(CUTOUT_VISIBILITY_TIMEOUT="8", CUTOUT_TIME_LIMIT="6")

    until(lambda: cluster.closed(spec), 90)

    assert_whole(cluster, spec, tmp_path / "out", 3)


def test_an_image_that_ends_its_process_each_time_is_poisoned(
    cluster: Cluster, catalogue, tmp_path
) -> None:
    fill(catalogue, 4)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker()
    key = "shelf 1/item-001.jpg"
    killed: set[psutil.Process] = set()
    while len(killed) < 3:
        victim = until(lambda: cluster.child_at(key))
        if victim not in killed:
            until(lambda: strikes(cluster, spec, key) == len(killed) + 1, pause=0.01)
            victim.send_signal(signal.SIGKILL)
            killed.add(victim)

    progress = until(lambda: cluster.closed(spec), 90)

    assert (progress.done, progress.failed) == (3, 1)
    rows = report_rows((tmp_path / "out" / names.report_key(spec.id, "csv")).read_text())
    assert {r["key"]: r["code"] for r in rows if r["status"] == "failed"} == {key: "poisoned"}


def test_a_worker_told_to_stop_finishes_what_it_has_in_hand(
    cluster: Cluster, catalogue, tmp_path
) -> None:
    fill(catalogue)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    cluster.start_worker(name="first")
    until(lambda: cluster.ledger.progress(spec.id).settled >= 1)
    first = cluster.processes.pop("first")
    first.terminate()
    assert first.wait(40) == 0
    # nothing is left in a stopped worker's name: no wait for a visibility timeout
    assert cluster.ledger._redis.hlen("unacked") == 0
    cluster.start_worker()

    until(lambda: cluster.closed(spec), 35)

    assert_whole(cluster, spec, tmp_path / "out")
    rows = report_rows((tmp_path / "out" / names.report_key(spec.id, "csv")).read_text())
    assert {row["attempts"] for row in rows} == {"1"}


def test_a_replacement_child_may_load_its_model_slowly(cluster: Cluster) -> None:
    cluster.start_dispatcher()
    cluster.start_worker(children=1)
    idle = until(lambda: cluster.titled("idle"))
    idle.send_signal(signal.SIGKILL)
    replacement = until(lambda: cluster.titled("loading"), pause=0.005)
    replacement.send_signal(signal.SIGSTOP)
    time.sleep(6)  # Celery's own patience with a new child is 4 s
    replacement.send_signal(signal.SIGCONT)

    until(lambda: cluster.titled("idle"))

    assert cluster.titled("idle") == replacement


def test_a_job_that_merely_waits_is_not_issued_again(cluster: Cluster, catalogue, tmp_path) -> None:
    fill(catalogue, 6)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher(CUTOUT_VISIBILITY_TIMEOUT="2", CUTOUT_TIME_LIMIT="1.5")
    queue = names.bulk_queue("u2netp")
    redis = cluster.ledger._redis
    until(lambda: redis.llen(queue) == 6)
    time.sleep(5)  # no worker: all are overdue, and all still wait
    assert redis.llen(queue) == 6
    redis.rpop(queue)  # this one is lost, which shows once those behind it are gone
    cluster.start_worker()

    until(lambda: cluster.closed(spec), 90)

    assert_whole(cluster, spec, tmp_path / "out", 6)


def test_a_message_delivered_twice_counts_once(cluster: Cluster, catalogue, tmp_path) -> None:
    fill(catalogue, 4)
    spec = cluster.submit(catalogue, tmp_path / "out")
    cluster.start_dispatcher()
    queue = names.bulk_queue("u2netp")
    redis = cluster.ledger._redis
    until(lambda: redis.llen(queue) == 4)
    redis.rpush(queue, *redis.lrange(queue, 0, 2))  # the copies are next in line
    cluster.start_worker()

    until(lambda: cluster.closed(spec) and not redis.llen(queue) and not redis.hlen("unacked"), 90)

    assert_whole(cluster, spec, tmp_path / "out", 4)
    assert cluster.log("worker").count("nothing to do") == 3
