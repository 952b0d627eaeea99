import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.cpu import count as cpus

MANY = os.cpu_count() or 1


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Really bind this process to one CPU."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def v1(quota: str) -> dict[str, str]:
    return {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000\n"}


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 16 CPUs, which the one at hand need not be."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "140000 100000\n"}, 1),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "40000 10000\n"}, 4),
        ({"cpu.max": "3200000 100000\n"}, 16),
        ({"cpu.max": "max 100000\n"}, 16),
        (v1("300000\n"), 3),
        (v1("5000\n"), 1),
        (v1("-1\n"), 16),
        ({"cpu.max": "100000 100000\n", **v1("300000\n")}, 1),
        ({}, 16),
        ({"cpu.max": ""}, 16),
        ({"cpu.max": "nonsense\n"}, 16),
    ],
)
def test_the_quota_of_the_cgroup_bounds_the_cpus(
    sixteen, tmp_path: Path, files: dict[str, str], count: int
):
    assert cpus.available_cpus(write(tmp_path, files)) == count


def test_the_affinity_bounds_the_cpus(one_cpu, tmp_path: Path):
    assert cpus.available_cpus(write(tmp_path, {"cpu.max": "1600000 100000\n"})) == 1
    assert cpus.available_cpus(tmp_path / "none") == 1


def test_a_system_without_affinity_counts_its_cpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert cpus.available_cpus(tmp_path) == MANY


@pytest.mark.parametrize(
    ("children", "count"), [(0, 16), (1, 16), (2, 8), (3, 5), (16, 1), (17, 1), (1000, 1)]
)
def test_children_share_the_cpus_and_each_has_a_thread(
    sixteen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, children: int, count: int
):
    # not this machine's quota
    monkeypatch.setattr(cpus.available_cpus, "__defaults__", (tmp_path,))
    assert cpus.threads_per_child(children) == count


def test_this_machine_has_a_thread_for_a_child():
    assert 1 <= cpus.threads_per_child(1) <= MANY


@pytest.mark.parametrize(("count", "children"), [(1, 2), (2, 3), (4, 5), (5, 7), (64, 80)])
def test_some_children_wait_for_storage_while_every_cpu_computes(count: int, children: int):
    assert cpus.default_children(count) == children
