"""The heartbeat's file and the watch's judgement, without a worker and without waiting."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import ErrorCode, PermanentError
from worker.supervision import heartbeat, watchdog
from worker.supervision.heartbeat import Pulse, beats, check, note_loaded
from worker.supervision.watchdog import Judge, Seen, Verdict


@pytest.fixture(autouse=True)
def nothing_loaded():
    yield
    note_loaded(0, loaded=False)


def refusal(folder: Path, *, ready: bool = False) -> str:
    with pytest.raises(PermanentError) as caught:
        check(folder, ready=ready)
    assert caught.value.code is ErrorCode.WORKER_UNHEALTHY
    return caught.value.message


# the file


def test_a_beat_says_who_beats_and_whether_it_is_ready(tmp_path: Path):
    pulse = Pulse(tmp_path / "workers", "bulk.u2netp", 3)
    (beat,) = beats(tmp_path / "workers")
    assert (beat.pid, beat.queue, beat.children) == (os.getpid(), "bulk.u2netp", 3)
    assert beat.live
    assert not beat.ready

    pulse.beat(connected=True)
    assert "not ready" in refusal(tmp_path / "workers", ready=True)  # no model yet
    note_loaded(0, loaded=True)
    pulse.beat(connected=True)
    assert check(tmp_path / "workers", ready=True)[0].ready
    pulse.beat(connected=False)
    assert "not ready" in refusal(tmp_path / "workers", ready=True)
    assert check(tmp_path / "workers", ready=False)

    pulse.stop()
    assert "No worker" in refusal(tmp_path / "workers")


def test_the_file_is_written_where_there_is_news_or_time_has_passed(tmp_path: Path, monkeypatch):
    pulse = Pulse(tmp_path, "bulk.u2netp", 3)
    (file,) = tmp_path.iterdir()
    first = file.stat().st_mtime_ns
    pulse.beat(connected=False)
    assert file.stat().st_mtime_ns == first
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0)
    pulse.beat(connected=False)
    assert file.stat().st_mtime_ns > first
    assert list(tmp_path.iterdir()) == [file]


def test_an_old_beat_of_a_process_that_is_there_is_unhealthy(tmp_path: Path, monkeypatch):
    Pulse(tmp_path, "bulk.u2netp", 3)
    monkeypatch.setattr(heartbeat, "STALE_SECONDS", 0)
    assert f"Worker {os.getpid()} (bulk.u2netp) was last heard of" in refusal(tmp_path)


def test_the_dead_are_forgotten_and_so_is_whoever_has_their_number(tmp_path: Path):
    Pulse(tmp_path, "bulk.u2netp", 3)
    (own,) = beats(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name, beat in {
        "dead": own.model_copy(update={"pid": gone.pid}),
        "earlier": own.model_copy(update={"born": "1"}),
    }.items():
        (tmp_path / f"{name}.json").write_text(beat.model_dump_json())
    (tmp_path / "half.json").write_text('{"pid"')

    assert beats(tmp_path) == [own]
    assert {file.name for file in tmp_path.iterdir()} == {f"{os.getpid()}.json", "half.json"}


def test_a_process_that_waits_to_be_collected_is_dead():
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert heartbeat.born(zombie.pid) is None
    zombie.wait()


def test_a_folder_that_takes_no_file_ends_nothing(tmp_path: Path):
    (tmp_path / "workers").write_text("no folder")
    pulse = Pulse(tmp_path / "workers", "bulk.u2netp", 3)
    pulse.beat(connected=True)
    pulse.stop()
    assert (tmp_path / "workers").read_text() == "no folder"


# the judgement

STEP = watchdog.WATCH_SECONDS
IDLE = Seen(now=0, beat=0, stopping=False, waiting=0, free=2, started=5)
UNHEARD = replace(IDLE, waiting=7)


def verdicts(seen: Seen, seconds: float, judge: Judge | None = None, **each) -> list[Verdict]:
    """What is said of a worker that looks like this for so long, with its main loop running."""
    judge = judge or Judge(stop_seconds=130)
    times = [step * STEP for step in range(int(seconds / STEP) + 1)]
    return [
        judge.verdict(replace(seen, now=now, beat=now, **{k: v(now) for k, v in each.items()}))
        for now in times
    ]


def test_a_worker_that_hears_nothing_of_what_waits_is_deaf():
    found = verdicts(UNHEARD, watchdog.DEAF_SECONDS + STEP)
    assert found[-1] is Verdict.DEAF
    assert set(found[:-1]) == {Verdict.SOUND}


@pytest.mark.parametrize(
    "seen",
    [
        IDLE,
        replace(UNHEARD, free=0),
        replace(UNHEARD, free=-1),  # every child has a task, and one of them lost its model
        replace(UNHEARD, waiting=None),
    ],
    ids=["nothing waits", "no slot", "fewer than none", "no Redis"],
)
def test_silence_has_other_reasons(seen: Seen):
    assert set(verdicts(seen, 10 * watchdog.DEAF_SECONDS)) == {Verdict.SOUND}


@pytest.mark.parametrize(
    "each",
    [
        {"started": lambda now: now // (watchdog.DEAF_SECONDS - STEP)},
        {"waiting": lambda now: None if now % watchdog.DEAF_SECONDS == 0 else 7},
        {"free": lambda now: 0 if now % watchdog.DEAF_SECONDS == 0 else 1},
        {"waiting": lambda now: 0 if now % watchdog.DEAF_SECONDS == 0 else 7},
    ],
    ids=["a task now and then", "Redis gone at times", "busy at times", "empty at times"],
)
def test_the_silence_must_be_unbroken(each):
    assert set(verdicts(UNHEARD, 10 * watchdog.DEAF_SECONDS, **each)) == {Verdict.SOUND}


def test_a_main_loop_that_does_not_beat_is_stuck():
    judge = Judge(stop_seconds=130)
    limit = heartbeat.STALE_SECONDS
    found = [judge.verdict(replace(IDLE, now=now)) for now in range(0, limit + 11, 10)]
    assert found[-1] is Verdict.STUCK
    assert set(found[:-1]) == {Verdict.SOUND}


def test_a_main_loop_that_redis_holds_up_is_excused_until_redis_has_been_back_for_long():
    judge = Judge(stop_seconds=130)
    for now in range(0, 1000, 10):
        assert judge.verdict(replace(IDLE, now=now, waiting=None)) is Verdict.SOUND
    back = [judge.verdict(replace(IDLE, now=now)) for now in range(1000, 1070, 10)]
    assert back[-1] is Verdict.STUCK
    assert set(back[:-1]) == {Verdict.SOUND}


def test_a_process_that_slept_as_a_whole_is_not_stuck():
    judge = Judge(stop_seconds=130)
    judge.verdict(IDLE)
    assert judge.verdict(replace(IDLE, now=1000)) is Verdict.SOUND
    assert judge.verdict(replace(IDLE, now=1010, beat=1001)) is Verdict.SOUND
    assert judge.verdict(replace(IDLE, now=1010 + STEP, beat=10)) is Verdict.STUCK


def test_a_stop_may_take_as_long_as_an_image_and_no_longer():
    judge = Judge(stop_seconds=130)
    stopping = replace(IDLE, stopping=True)
    found = [judge.verdict(replace(stopping, now=now)) for now in range(0, 160, 10)]
    assert found.index(Verdict.STUCK) == 15  # the first look does not count
    assert set(found[:15]) == {Verdict.SOUND}
