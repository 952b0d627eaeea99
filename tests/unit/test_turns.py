import os
import signal
import time
from pathlib import Path

from forked import LONG, held, started

from worker.turns import Turns


def test_never_more_at_once_than_there_are_turns(tmp_path: Path):
    turns, log = Turns(2), tmp_path / "log"

    def work() -> None:
        for _ in range(20):
            with turns.take(LONG), log.open("ab", buffering=0) as file:
                file.write(b"+")
                time.sleep(0.002)
                file.write(b"-")

    with started(*[work] * 5) as workers:
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 5
    text = log.read_text()
    at_once = [text[:end].count("+") - text[:end].count("-") for end in range(len(text) + 1)]
    assert (text.count("+"), max(at_once), at_once[-1]) == (100, 2, 0)


def test_the_turn_of_a_killed_process_is_over():
    turns = Turns(1)
    with held(turns) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        start = time.monotonic()
        with turns.take(LONG):
            assert time.monotonic() - start < LONG


def test_whoever_has_waited_long_enough_goes_on_without():
    turns = Turns(1)
    with held(turns):
        start = time.monotonic()
        with turns.take(0.3):
            assert 0.3 <= time.monotonic() - start < LONG
        # and gives nothing back that was not his
        start = time.monotonic()
        with turns.take(0.1):
            assert time.monotonic() - start >= 0.1


def test_ends_that_nobody_waited_for_do_no_harm():
    turns = Turns(1)
    for _ in range(100_000):  # more than a pipe holds
        turns.take(0).close()
    with held(turns):
        turns.take(0.1).close()
    with turns.take(LONG):
        pass
