"""How long this machine holds up a process that nothing of its own can hold up."""

import os
import time
from contextlib import suppress

BURSTS = 50
BURST_SECONDS = 0.4
PAUSE_SECONDS = 0.1
"""Linux holds up a process of real-time priority that uses 95 % of a second."""


def longest_stall() -> float:
    """Read the clock for 20 s; return the longest time between two readings in milliseconds.

    With real-time priority, if root. What this finds is a part of the slowest command of Redis.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    longest = 0.0
    for _ in range(BURSTS):
        end = (before := time.perf_counter()) + BURST_SECONDS
        while before < end:
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        time.sleep(PAUSE_SECONDS)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return longest * 1000
