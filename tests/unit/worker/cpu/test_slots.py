import os
import signal
import time
from pathlib import Path

from support.forked import LONG, held, started, taken

from worker.cpu.slots import Turns


def test_never_more_at_once_than_there_are_turns(tmp_path: Path):
    turns, log = Turns(2), tmp_path / "log"

    def work() -> None:
        with log.open("ab", buffering=0) as file:
            for _ in range(20):
                assert turns.take(LONG)
                file.write(b"+")
                time.sleep(0.002)
                file.write(b"-")
                turns.end()

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
        assert not taken(turns)
        os.kill(holder.pid, signal.SIGKILL)
        assert turns.take(LONG)


def test_whoever_has_waited_for_long_goes_on_without():
    turns = Turns(1)
    with held(turns):
        start = time.monotonic()
        assert not turns.take(0.3)
        assert time.monotonic() - start >= 0.3
        turns.end()
        assert not taken(turns)


def test_ends_that_nobody_waited_for_do_no_harm():
    turns = Turns(1)
    for _ in range(100_000):  # more than a pipe holds
        turns.end()
    with held(turns):
        assert not turns.take(0.1)
    assert turns.take(LONG)
