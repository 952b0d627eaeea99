"""How many CPUs, and how much memory, this process may use. A container's limits count."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = CGROUP) -> int:
    """Return the number of CPUs this process may use, at least 1.

    That is its CPU affinity, limited by the CPU quota of its cgroup (a container's CPU limit).
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        allowed = os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(allowed, math.floor(quota + 0.5)) if quota else allowed)


def _quota(cgroup: Path) -> float | None:
    """Return the CPU quota in CPUs, from cgroup v2 or v1, or None if there is no limit."""
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if limit in {"max", "-1"}:
        return None
    return int(limit) / int(period)


def available_memory(cgroup: Path = CGROUP) -> int:
    """Return the bytes of memory that this process and its children may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int((cgroup / "memory.max").read_text()))
    except (OSError, ValueError):  # no cgroup v2, or no limit
        return total
