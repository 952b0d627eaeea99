"""How many CPUs there really are, and how many children and threads make the most of them."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available(cgroup: Path = CGROUP) -> int:
    """Return the CPUs this process may use: its affinity, bounded by its cgroup's quota."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        allowed = os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(allowed, math.floor(quota + 0.5)) if quota else allowed)


def children(cpus: int) -> int:
    """Return how many processes keep that many CPUs busy.

    One each, and one more for every four, so that some compute while others wait for storage:
    three requests of 30 ms beside 200 ms of computing leave a child idle a third of its time.
    """
    return cpus + math.ceil(cpus / 4)


def threads(children: int) -> int:
    """Return the intra-op threads of one of `children` equal processes, at least 1."""
    return max(1, available() // max(1, children))


def _quota(cgroup: Path) -> float | None:
    """Return the CPU quota in CPUs, from cgroup v2 (cpu.max) or v1, or None without one."""
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
