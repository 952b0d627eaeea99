"""Processes that share a worker's CPU slots, forked as Celery's pool forks its children."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from worker.cpu.slots import CpuSlots

LONG = 60
"""Seconds that no test waits for."""
fork = multiprocessing.get_context("fork")


@contextmanager
def started(*tasks: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run each task in a process of its own; kill what still runs at the end."""
    processes = [fork.Process(target=task) for task in tasks]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def can_acquire(slots: CpuSlots, timeout: float = 0) -> bool:
    """Return whether another process gets a slot within `timeout` seconds. It exits afterwards."""
    answer = fork.SimpleQueue()
    with started(lambda: answer.put(slots.acquire(timeout))) as (process,):
        process.join()
    return bool(answer.get())


@contextmanager
def held(slots: CpuSlots) -> Iterator[Any]:
    """Hold a slot in another process, which is yielded."""
    acquired = fork.Event()

    def hold() -> None:
        if slots.acquire(LONG):
            acquired.set()
            time.sleep(LONG)

    with started(hold) as (holder,):
        assert acquired.wait(LONG)
        yield holder
