import os
import signal
import time
from pathlib import Path

import pytest
from support.forked import LONG, can_acquire, held, started

from worker.cpu.slots import CpuSlots


def test_never_more_holders_than_slots(tmp_path: Path):
    slots, log = CpuSlots(2), tmp_path / "log"

    def work() -> None:
        with log.open("ab", buffering=0) as file:
            for _ in range(20):
                assert slots.acquire(LONG)
                file.write(b"+")
                time.sleep(0.002)
                file.write(b"-")
                slots.release()

    with started(*[work] * 5) as workers:
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 5
    text = log.read_text()
    at_once = [text[:end].count("+") - text[:end].count("-") for end in range(len(text) + 1)]
    assert (text.count("+"), at_once[-1]) == (100, 0)
    assert max(at_once) <= 2  # on a busy machine they may even take turns


@pytest.mark.slow
def test_a_killed_process_releases_its_slot():
    slots = CpuSlots(1)
    with held(slots) as holder:
        assert not can_acquire(slots)
        os.kill(holder.pid, signal.SIGKILL)
        assert slots.acquire(LONG)


@pytest.mark.slow
def test_acquire_gives_up_after_its_timeout():
    slots = CpuSlots(1)
    with held(slots):
        start = time.monotonic()
        assert not slots.acquire(0.3)
        assert time.monotonic() - start >= 0.3
        slots.release()
        assert not can_acquire(slots)


@pytest.mark.slow
def test_releases_without_a_slot_do_no_harm():
    slots = CpuSlots(1)
    for _ in range(100_000):  # more than a pipe holds
        slots.release()
    with held(slots):
        assert not slots.acquire(0.1)
    assert slots.acquire(LONG)
