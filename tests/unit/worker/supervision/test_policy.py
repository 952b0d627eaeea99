from dataclasses import replace

import pytest

from worker.supervision import heartbeat, policy
from worker.supervision.policy import HealthPolicy, Verdict, WorkerSample

STEP = policy.WATCH_SECONDS
IDLE = WorkerSample(
    time=0, last_beat=0, stopping=False, queue_length=0, free_children=2, started_tasks=5
)
WAITING = replace(IDLE, queue_length=7)


def verdicts(
    seen: WorkerSample, seconds: float, health: HealthPolicy | None = None, **each
) -> list[Verdict]:
    """Evaluate a worker that stays like this for so long, while its main loop runs."""
    health = health or HealthPolicy(stop_seconds=130)
    times = [step * STEP for step in range(int(seconds / STEP) + 1)]
    return [
        health.evaluate(
            replace(seen, time=now, last_beat=now, **{k: v(now) for k, v in each.items()})
        )
        for now in times
    ]


def test_a_free_worker_that_leaves_messages_waiting_is_deaf():
    results = verdicts(WAITING, policy.DEAF_SECONDS + STEP)
    assert results[-1] is Verdict.DEAF
    assert set(results[:-1]) == {Verdict.HEALTHY}


@pytest.mark.parametrize(
    "seen",
    [
        IDLE,
        replace(WAITING, free_children=0),
        replace(WAITING, free_children=-1),  # all are busy, and one has lost its model
        replace(WAITING, queue_length=None),
    ],
    ids=["nothing waits", "no slot", "fewer than none", "no Redis"],
)
def test_a_worker_may_be_idle_for_other_reasons(seen: WorkerSample):
    assert set(verdicts(seen, 10 * policy.DEAF_SECONDS)) == {Verdict.HEALTHY}


@pytest.mark.parametrize(
    "each",
    [
        {"started_tasks": lambda now: now // (policy.DEAF_SECONDS - STEP)},
        {"queue_length": lambda now: None if now % policy.DEAF_SECONDS == 0 else 7},
        {"free_children": lambda now: 0 if now % policy.DEAF_SECONDS == 0 else 1},
        {"queue_length": lambda now: 0 if now % policy.DEAF_SECONDS == 0 else 7},
    ],
    ids=["a task now and then", "Redis gone at times", "busy at times", "empty at times"],
)
def test_deafness_must_last_without_interruption(each):
    assert set(verdicts(WAITING, 10 * policy.DEAF_SECONDS, **each)) == {Verdict.HEALTHY}


def test_a_main_loop_without_heartbeat_is_stuck():
    health = HealthPolicy(stop_seconds=130)
    limit = heartbeat.STALE_SECONDS
    results = [health.evaluate(replace(IDLE, time=now)) for now in range(0, limit + 11, 10)]
    assert results[-1] is Verdict.STUCK
    assert set(results[:-1]) == {Verdict.HEALTHY}


def test_a_main_loop_may_wait_for_redis_until_redis_has_long_been_back():
    health = HealthPolicy(stop_seconds=130)
    for now in range(0, 1000, 10):
        assert health.evaluate(replace(IDLE, time=now, queue_length=None)) is Verdict.HEALTHY
    back = [health.evaluate(replace(IDLE, time=now)) for now in range(1000, 1070, 10)]
    assert back[-1] is Verdict.STUCK
    assert set(back[:-1]) == {Verdict.HEALTHY}


def test_a_suspended_process_is_not_stuck():
    health = HealthPolicy(stop_seconds=130)
    health.evaluate(IDLE)
    assert health.evaluate(replace(IDLE, time=1000)) is Verdict.HEALTHY
    assert health.evaluate(replace(IDLE, time=1010, last_beat=1001)) is Verdict.HEALTHY
    assert health.evaluate(replace(IDLE, time=1010 + STEP, last_beat=10)) is Verdict.STUCK


def test_an_orderly_stop_may_take_as_long_as_an_image():
    health = HealthPolicy(stop_seconds=130)
    stopping = replace(IDLE, stopping=True)
    results = [health.evaluate(replace(stopping, time=now)) for now in range(0, 160, 10)]
    assert results.index(Verdict.STUCK) == 15  # the first sample does not count
    assert set(results[:15]) == {Verdict.HEALTHY}
