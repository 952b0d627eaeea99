"""Redis fails over to a replica, under Sentinel."""

import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.drill import Drill
from support.sentinels import Sentinels
from support.services import answers, free_port, until
from test_redis_away import CLAIMED, begin, ends_well, unharmed, works_again


@pytest.fixture
def sentinels(tmp_path: Path, drill: Drill) -> Iterator[Sentinels]:
    """Sentinels in the place of the cluster's Redis."""
    running = Sentinels(tmp_path / "sentinels")
    running.start()
    drill.cluster.redis = running
    yield running
    drill.cluster.stop()
    running.remove()


def start_flower(drill: Drill) -> str:
    """Start Flower; return the URL of its metrics."""
    port = free_port()
    drill.cluster.start("flower", "producer", "flower", CUTOUT_FLOWER_PORT=str(port))
    metrics = f"http://127.0.0.1:{port}/metrics"
    until(lambda: answers(metrics))
    return metrics


def settled_by_flower(metrics: str) -> float:
    """Return how many images Flower has seen settled."""
    with urllib.request.urlopen(metrics, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("flower_events_total{") and 'type="task-succeeded"' in line
    )


def test_redis_is_killed_and_a_replica_takes_over(drill: Drill, sentinels: Sentinels) -> None:
    spec = begin(drill)
    metrics = start_flower(drill)
    until(lambda: settled_by_flower(metrics) > 0)
    before = settled_by_flower(metrics)
    with unharmed(drill):
        old = sentinels.kill_master()
        killed = time.monotonic()
        works_again(drill)
        took = time.monotonic() - killed
        assert sentinels.master != old
        sentinels.start_node(old)  # as a master, which the Sentinels demote
        sentinels.wait_until_demoted(old)
        ends_well(drill, spec, "SIGKILL to the master; a replica takes over", took)
        until(lambda: settled_by_flower(metrics) > before + CLAIMED)


def test_redis_freezes_and_a_replica_takes_over(drill: Drill, sentinels: Sentinels) -> None:
    spec = begin(drill)
    with unharmed(drill):
        old = sentinels.master
        sentinels.nodes[old].send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        sentinels.wait_for_failover(old)
        works_again(drill)
        took = time.monotonic() - frozen
        sentinels.nodes[old].send_signal(signal.SIGCONT)  # it still believes to be the master
        sentinels.wait_until_demoted(old)
        ends_well(drill, spec, "SIGSTOP to the master; a replica takes over", took)
