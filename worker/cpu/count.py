"""How many CPUs this process may use, and how many children and threads keep them busy."""

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


def default_children(cpus: int) -> int:
    """Return how many child processes keep that many CPUs busy.

    One per CPU plus one per four CPUs, so that some compute while others wait for storage: an
    image that computes for 200 ms also makes three requests of about 30 ms each.
    """
    return cpus + math.ceil(cpus / 4)


def threads_per_child(children: int) -> int:
    """Return the number of ONNX Runtime threads of each child, at least 1."""
    return max(1, available_cpus() // max(1, children))


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
