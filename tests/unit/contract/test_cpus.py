import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import cpus

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
    ("files", "limited"),
    [({"memory.max": "1048576\n"}, True), ({"memory.max": "max\n"}, False), ({}, False)],
)
def test_the_limit_of_the_cgroup_bounds_the_memory(tmp_path: Path, files, limited: bool):
    memory = cpus.available_memory(write(tmp_path, files))
    assert memory == (1 << 20) if limited else memory > 1 << 28
