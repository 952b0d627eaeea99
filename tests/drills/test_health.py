"""Whether a worker is alive, ready, stuck or deaf, checked on real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from celery import Celery
from support.catalogue import photograph
from support.cluster import STAND_IN, Cluster
from support.drill import Drill
from support.services import until

from contract import names
from contract.broker import broker_url
from contract.ledger.workers import WorkerRegistry
from contract.redis_address import RedisAddress

QUEUE = names.bulk_queue("u2netp")
TEMPORARY = os.EX_TEMPFAIL


def beat() -> dict[str, object]:
    """Return the heartbeat file of the only worker."""
    (file,) = (Path(os.environ["CUTOUT_STATE_DIR"]) / "workers").glob("*.json")
    return json.loads(file.read_text())


def health(*arguments: str, limits: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CUTOUT_MODEL_DIR": os.environ["CUTOUT_STATE_DIR"]}
    return subprocess.run(
        [sys.executable, str(STAND_IN), *limits, "health", *arguments],
        check=False, capture_output=True, text=True, env=env, timeout=30,
    )  # fmt: skip


def start_impatient(cluster: Cluster, *limits: str) -> subprocess.Popen[bytes]:
    return cluster.start("worker", "worker", *limits, "worker", "--concurrency", "2")


def ready() -> bool:
    return health("--ready").returncode == 0


def runs(process: psutil.Process) -> bool:
    """Return whether a process runs and is not a zombie."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def fill(catalogue: Path, count: int) -> None:
    for number in range(count):
        photograph(catalogue / f"{number}.jpg", number)


def test_a_worker_beats_on_without_redis_and_works_again_with_it(
    quick_cluster: Cluster, catalogue, tmp_path
) -> None:
    cluster = quick_cluster
    assert "No worker is running" in health().stderr
    fill(catalogue, 4)
    spec = cluster.submit(catalogue, tmp_path / "out")
    start_impatient(cluster, "HEARTBEAT_SECONDS=1")
    until(ready)
    present = WorkerRegistry(cluster.ledger.connection).list()
    assert [(worker.queue, worker.children) for worker in present] == [(QUEUE, 2)]
    assert abs(present[0].clock_skew) < 1

    cluster.redis.stop(signal.SIGKILL)
    until(lambda: not beat()["ready"])
    lost = beat()["time"]
    time.sleep(5)
    assert beat()["time"] - lost >= 3
    assert health().returncode == 0
    refused = health("--ready")
    assert refused.returncode == 1
    assert "worker_unhealthy" in refused.stderr

    cluster.redis.start()
    cluster.start_dispatcher()
    assert until(lambda: cluster.closed(spec)).done == 4
    assert ready()
    worker = cluster.processes.pop("worker")
    worker.terminate()
    assert worker.wait(40) == 0
    assert health().returncode == 1
    assert WorkerRegistry(cluster.ledger.connection).list() == []
    assert "Traceback" not in cluster.log("worker")


@pytest.mark.long
def test_a_stopped_process_is_unhealthy_and_forgiven(quick_cluster: Cluster) -> None:
    cluster = quick_cluster
    limits = ("STALE_SECONDS=3", "HEARTBEAT_SECONDS=1", "WATCH_SECONDS=0.5")
    worker = start_impatient(cluster, *limits)
    until(ready)
    assert health(limits=limits).returncode == 0
    worker.send_signal(signal.SIGSTOP)
    time.sleep(4)
    refused = health(limits=limits)
    worker.send_signal(signal.SIGCONT)

    assert refused.returncode == 1
    assert f"Worker {worker.pid}" in refused.stderr
    until(lambda: health(limits=limits).returncode == 0)
    time.sleep(2)
    assert worker.poll() is None  # the whole process was suspended, so its watchdog forgives it


def test_a_worker_is_deaf(drill: Drill) -> None:
    cluster = drill.cluster
    worker = start_impatient(cluster, "DEAF_SECONDS=3", "WATCH_SECONDS=0.5")
    until(ready)
    worker.send_signal(signal.SIGRTMIN + 1)
    time.sleep(5)
    assert worker.poll() is None  # no message waits, so it is not deaf
    drill.fill(3)
    spec = drill.submit()
    cluster.start_dispatcher()
    until(lambda: cluster.ledger.connection.client.llen(QUEUE))
    began = time.monotonic()

    until(lambda: worker.poll() is not None)
    took = time.monotonic() - began
    assert worker.returncode == TEMPORARY
    assert "worker is deaf" in cluster.log("worker")
    assert drill.progress(spec).settled == 0
    cluster.start_worker(name="successor")
    drill.closed(spec)
    bound = 3 + 5
    assert drill.passed(spec, "a consumer cancelled, with a limit of 3 s", bound, took)["done"] == 3


def test_a_worker_obeys_no_command_that_comes_through_redis(quick_cluster: Cluster) -> None:
    """Anyone who reaches Redis could stop all workers otherwise."""
    cluster = quick_cluster
    worker = start_impatient(cluster)
    until(ready)
    broker = Celery(broker=broker_url(RedisAddress.parse(cluster.redis.url)))
    assert broker.control.ping(timeout=2) == []
    broker.control.shutdown()
    broker.control.broadcast("cancel_consumer", arguments={"queue": QUEUE})
    broker.close()
    time.sleep(3)
    assert worker.poll() is None
    assert ready()


def test_a_worker_whose_main_loop_is_stuck_ends_with_all_its_children(
    quick_cluster: Cluster,
) -> None:
    cluster = quick_cluster
    worker = start_impatient(cluster, "STALE_SECONDS=10", "WATCH_SECONDS=0.5")
    until(ready)
    children = cluster.children()
    assert len(children) == 2
    worker.send_signal(signal.SIGRTMIN)

    assert worker.wait(30) == TEMPORARY
    until(lambda: not any(map(runs, children)))
    log = cluster.log("worker")
    assert "worker is stuck" in log
    assert "stand_in.py" in log  # the stack at that moment
    assert health().returncode == 1


def test_a_stop_that_does_not_end_is_ended(quick_cluster: Cluster) -> None:
    cluster = quick_cluster
    worker = start_impatient(cluster, "STOP_GRACE_SECONDS=-27", "WATCH_SECONDS=0.5")
    until(ready)
    worker.send_signal(signal.SIGRTMIN)
    time.sleep(1)  # or it might stop in time
    worker.terminate()

    assert worker.wait(30) == TEMPORARY
