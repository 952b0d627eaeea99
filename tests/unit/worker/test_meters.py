"""What the children of a worker count survives their death, and is never counted twice."""

import os
import signal

import pytest

from contract.counters import counters
from contract.metrics import WORKER_IMAGES, WORKER_STAGE
from worker.meters import SharedMeters

DONE = ("u2netp", "done", "")


def in_child(work) -> None:
    """Run a function in a forked process, as one of the pool's."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] in {0, signal.SIGKILL}


def images(meters: SharedMeters) -> float:
    return meters.rows().get((WORKER_IMAGES.name, DONE), [0])[0]


@pytest.fixture
def meters() -> SharedMeters:
    return SharedMeters(2)


def count(meters: SharedMeters, child: int, number: int) -> None:
    meters.attach(child)
    for _ in range(number):
        counters.add(WORKER_IMAGES, *DONE)
        counters.observe(WORKER_STAGE, 0.3, "matte")
        meters.publish()


def test_counts_of_all_children_are_added(meters: SharedMeters):
    in_child(lambda: count(meters, 0, 3))
    in_child(lambda: count(meters, 1, 4))
    assert images(meters) == 7
    [row] = [row for (name, _), row in meters.rows().items() if name == WORKER_STAGE.name]
    assert row[WORKER_STAGE.buckets.index(0.5)] == sum(row[:-1]) == 7
    assert row[-1] == pytest.approx(2.1)


@pytest.mark.slow
def test_the_next_child_continues_where_the_dead_one_stopped(meters: SharedMeters):
    def dies() -> None:
        count(meters, 0, 2)
        counters.add(WORKER_IMAGES, *DONE)  # not published: lost
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(3):
        in_child(dies)
    assert images(meters) == 6


def test_a_child_that_dies_while_it_publishes_leaves_the_copy_before(
    meters: SharedMeters, monkeypatch
):
    in_child(lambda: count(meters, 0, 5))

    def dies() -> None:
        meters.attach(0)
        counters.add(WORKER_IMAGES, *DONE)
        monkeypatch.setattr("worker.meters.zlib.crc32", lambda _: 0)  # half a copy
        monkeypatch.setattr("worker.meters._HEADER", None)
        meters.publish()

    pid = os.fork()
    if not pid:
        try:
            dies()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert images(meters) == 5


def test_a_child_begins_without_the_counts_of_the_main_process(meters: SharedMeters):
    counters.add(WORKER_IMAGES, *DONE)
    in_child(lambda: count(meters, 0, 1))
    assert images(meters) == 1


def test_a_fork_while_another_thread_counts_leaves_the_child_unlocked(meters: SharedMeters):
    with counters._lock:
        in_child(lambda: count(meters, 0, 1))
    assert images(meters) == 1


def test_only_a_child_publishes(meters: SharedMeters):
    meters.publish()
    assert meters.rows() == {}


def test_the_memory_of_running_children_is_read(meters: SharedMeters):
    meters.attach(1)
    [(child, size)] = meters.memory_bytes().items()
    assert child == 1
    assert 1e6 < size < 1e10
