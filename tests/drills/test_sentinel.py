"""Redis fails over to a replica, under Sentinel."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.drill import Drill
from support.flower_server import Flower
from support.sentinels import Sentinels
from support.services import until
from test_redis_away import CLAIMED, begin, ends_well, shorten_timeouts, unharmed, works_again


@pytest.fixture
def sentinels(tmp_path: Path, drill: Drill) -> Iterator[Sentinels]:
    """Sentinels in the place of the cluster's Redis."""
    running = Sentinels(tmp_path / "sentinels")
    running.start()
    drill.cluster.redis = running
    yield running
    drill.cluster.stop()
    running.remove()


def test_redis_is_killed_and_a_replica_takes_over(drill: Drill, sentinels: Sentinels) -> None:
    shorten_timeouts(drill)
    flower = Flower(drill.cluster)
    flower.start()
    spec = begin(drill)
    before = flower.settled()
    with unharmed(drill):
        old = sentinels.kill_master()
        killed = time.monotonic()
        works_again(drill)
        took = time.monotonic() - killed
        assert sentinels.master != old
        sentinels.start_node(old)  # as a master, which the Sentinels demote
        sentinels.wait_until_demoted(old)
        ends_well(drill, spec, "SIGKILL to the master; a replica takes over", took)
        until(lambda: flower.settled() > before + CLAIMED, 150)
        flower.assert_queues_are_read()


@pytest.mark.long
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
