import os
from pathlib import Path

import pytest

from contract import cpus
from worker.cpu import count as counts

MANY = os.cpu_count() or 1


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine of 16 CPUs without a quota, which the one at hand need not be."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(cpus.available_cpus, "__defaults__", (tmp_path,))


@pytest.mark.parametrize(
    ("children", "count"), [(0, 16), (1, 16), (2, 8), (3, 5), (16, 1), (17, 1), (1000, 1)]
)
def test_children_share_the_cpus_and_each_has_a_thread(sixteen, children: int, count: int):
    assert counts.threads_per_child(children) == count


def test_this_machine_has_a_thread_for_a_child():
    assert 1 <= counts.threads_per_child(1) <= MANY


@pytest.mark.parametrize(("count", "children"), [(1, 2), (2, 3), (4, 5), (5, 7), (64, 80)])
def test_some_children_wait_for_storage_while_every_cpu_computes(count: int, children: int):
    assert counts.default_children(count) == children
