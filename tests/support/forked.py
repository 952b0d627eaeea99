"""Processes that share a worker's slots, forked as Celery's pool forks its children."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from worker.cpu.slots import CpuSlots

LONG = 60
fork = multiprocessing.get_context("fork")


@contextmanager
def started(*tasks: Callable[[], Any]) -> Iterator[list[Any]]:
    processes = [fork.Process(target=task) for task in tasks]
    for process in processes:
        process.start()
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def taken(slots: CpuSlots, patience: float = 0) -> bool:
    """Have another process ask for a turn, and return whether it came."""
    answer = fork.SimpleQueue()
    with started(lambda: answer.put(slots.acquire(patience))) as (process,):
        process.join()
    return bool(answer.get())


@contextmanager
def held(slots: CpuSlots) -> Iterator[Any]:
    """Have another process take a turn and keep it."""
    mine = fork.Event()

    def keep() -> None:
        if slots.acquire(LONG):
            mine.set()
            time.sleep(LONG)

    with started(keep) as (holder,):
        assert mine.wait(LONG)
        yield holder
