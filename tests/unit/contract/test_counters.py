import os
import threading

import pytest

from contract.counters import Counters, total
from contract.metrics import MetricSpec

COUNTER = MetricSpec("cutout_things_total", ("code",), "Things", type="counter")
SECONDS = MetricSpec("cutout_thing_seconds", (), "Duration", type="histogram", buckets=(0.1, 1, 10))


def test_each_combination_of_labels_is_a_series():
    counters = Counters()
    counters.add(COUNTER, "a")
    counters.add(COUNTER, "a", amount=2.5)
    counters.add(COUNTER, "b")
    assert counters.rows() == {
        ("cutout_things_total", ("a",)): [3.5],
        ("cutout_things_total", ("b",)): [1],
    }


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.1, 0), (0.11, 1), (1, 1), (10, 2), (10.1, 3)]
)
def test_an_observation_falls_into_the_first_bucket_that_is_not_below_it(seconds, bucket):
    counters = Counters()
    counters.observe(SECONDS, seconds)
    [row] = counters.rows().values()
    assert row == [*(float(index == bucket) for index in range(4)), seconds]


def test_threads_lose_no_count():
    counters = Counters()

    def work() -> None:
        for _ in range(2000):
            counters.add(COUNTER, "a")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.rows() == {("cutout_things_total", ("a",)): [8000]}


def test_rows_are_a_copy():
    counters = Counters()
    counters.add(COUNTER, "a")
    rows = counters.rows()
    counters.add(COUNTER, "a")
    assert rows == {("cutout_things_total", ("a",)): [1]}


def test_a_process_continues_from_restored_counts():
    first, second = Counters(), Counters()
    first.add(COUNTER, "a", amount=5)
    second.restore(first.rows())
    second.add(COUNTER, "a")
    assert second.rows() == {("cutout_things_total", ("a",)): [6]}
    assert first.rows() == {("cutout_things_total", ("a",)): [5]}


def test_the_counts_of_several_processes_are_added():
    parts = [Counters() for _ in range(3)]
    for number, counters in enumerate(parts):
        counters.add(COUNTER, "a", amount=number)
        counters.observe(SECONDS, number)
    parts[0].add(COUNTER, "b")
    assert total([counters.rows() for counters in parts]) == {
        ("cutout_things_total", ("a",)): [3],
        ("cutout_things_total", ("b",)): [1],
        ("cutout_thing_seconds", ()): [1, 1, 1, 0, 3],
    }


def test_a_forked_process_begins_at_zero_even_if_the_counters_were_locked():
    from contract.counters import counters

    counters.add(COUNTER, "parent")
    with counters._lock:
        pid = os.fork()
        if not pid:
            os._exit(counters.rows() != {})
    assert os.waitpid(pid, 0)[1] == 0
    assert counters.rows()["cutout_things_total", ("parent",)] == [1]
