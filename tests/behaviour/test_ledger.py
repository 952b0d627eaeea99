"""The behaviour of a ledger: one suite, run against Redis and against the fake in memory."""

import itertools
import json
import time

import pytest
from support.newer import newer
from support.services import until

from contract import names
from contract.batch import BatchSpec
from contract.cutout import CutoutSpec
from contract.errors import ErrorCode, PermanentError
from contract.job import ManifestLine
from contract.ledger import Claim, ClaimRefused, Issued, Ledger
from contract.ledger.lines import DROPPED_ROWS
from contract.ledger.memory import MemoryLedger
from contract.ledger.records import RECENT_RESULTS, SCRIPT_LINES, QueueState, Unclaimed, Worker
from contract.ledger.redis_ledger import RedisLedger
from contract.ledger.undrained import undrained
from contract.line_bits import has_bit
from contract.outcome import Outcome, OutcomeRow, Output, Status
from contract.recipe import Recipe
from contract.schedule import Schedule

BATCH = "b-20260101-000000-000000"
CUTOUT = "c-20260101-000000-000000"
TOTAL = 20
QUEUES = ("bulk.u2netp.p3", "quarantine.u2netp.p3")

redis_only = pytest.mark.parametrize("ledger", ["redis"], indirect=True)
"""For what only Redis has: keys, their expiry, a connection."""


def ticking_clock():
    """Return a clock that never returns the same time twice."""
    ticks = itertools.count()
    return lambda: time.time() + next(ticks) * 1e-4


@pytest.fixture(params=["redis", "memory"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "memory":
        return MemoryLedger(ticking_clock())
    return RedisLedger(request.getfixturevalue("redis_server").url)


def spec(batch: str = BATCH, **fields) -> BatchSpec:
    return BatchSpec.model_validate(
        {
            "id": batch, "source": "file:///in", "destination": "file:///out",
            "recipe": Recipe(model="u2netp"), "created": time.time(), "total": TOTAL,
            "segment_lines": 10_000, **fields,
        }
    )  # fmt: skip


def cutout_spec() -> BatchSpec:
    photograph = ManifestLine(key="a.jpg", size=1, etag="e")
    return spec(CUTOUT, total=1, cutout=CutoutSpec(photograph=photograph, destination_key="a.png"))


@pytest.fixture
def batch(ledger: Ledger) -> str:
    """An open batch of twenty lines."""
    ledger.batches.register(spec())
    ledger.batches.open(BATCH)
    return BATCH


def claim(ledger: Ledger, line: int, token="a-1:x", lease: float = 60, quarantine=False):
    return ledger.lines.claim(BATCH, line, token, lease, quarantine=quarantine)


def close(ledger: Ledger, batch: str) -> bool:
    """Close a batch as the dispatcher does once its outcomes are drained."""
    ledger.batches.lease_report(batch, "d", 60)
    rows = ledger.lines.outcomes(batch, 1000)
    if rows:
        ledger.lines.drop_outcomes(batch, rows[-1].id)
    return ledger.batches.close(batch, ledger.batches.progress(batch).epoch, "d")


def recent_results(ledger: Ledger) -> list[str]:
    results = ledger.batches.snapshot(BATCH, QUEUES).recent_results
    assert results == ledger.batches.recent_results(BATCH)
    return [result.code for result in results]


def done(line: int) -> Outcome:
    return Outcome(line=line, key=f"{line}.jpg", status=Status.DONE)


def failed(line: int) -> Outcome:
    return Outcome(line=line, key=f"{line}.jpg", status=Status.FAILED)


def outcome_of(row: OutcomeRow) -> Outcome:
    return Outcome.model_validate_json(row.json)


def reissue(ledger: Ledger, timeout: float = 60, grace: float = 0, window: int = TOTAL) -> Issued:
    return ledger.lines.reissue(BATCH, 100, timeout, grace, ("", ""), window)


def enqueue(ledger: Ledger, queue: str, issued: float) -> None:
    """Put a message into a queue, as the publisher does."""
    if isinstance(ledger, MemoryLedger):
        ledger.state.queues.setdefault(queue, []).append(str(issued))
    else:
        ledger.connection.client.lpush(queue, json.dumps({"headers": {"issued": issued}}))


def receive(ledger: Ledger, task_id: str) -> None:
    """Have a worker receive a message without acknowledging it."""
    if isinstance(ledger, MemoryLedger):
        ledger.state.unacknowledged.append(task_id)
    else:
        message = json.dumps([{"headers": {"id": task_id}}, "", "bulk.u2netp.p3"])
        ledger.connection.client.hset("unacked", task_id, message)


def stalled(ledger: Ledger) -> tuple[str, str]:
    progress = ledger.batches.progress(BATCH)
    return progress.state, progress.stalled_reason


# lines


def test_lines_are_issued_once_in_order_and_within_the_window(ledger, batch) -> None:
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == [0, 1, 2, 3, 4]
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == [5, 6, 7]
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == []
    assert ledger.lines.finish(batch, done(0))
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == [8]


def test_lines_that_wait_for_a_retry_or_for_quarantine_do_not_fill_the_window(
    ledger, batch
) -> None:
    ledger.lines.issue(batch, 4, 4, -60)
    claim(ledger, 0)
    ledger.lines.defer(batch, 0, "a-1:x", 60, "storage_unavailable")
    claim(ledger, 1)
    ledger.lines.record_crash(batch, 1, "a-1:", "SIGSEGV")
    ledger.lines.reissue(batch, 1, 60, 0, ("", ""))
    progress = ledger.batches.progress(batch)
    assert (progress.deferred, progress.quarantined, progress.active) == (1, 1, 2)
    assert ledger.lines.issue(batch, 9, 4, 60, max_outstanding=5).bulk == [4]
    assert ledger.lines.issue(batch, 9, 4, 60).bulk == [5]
    assert ledger.lines.issue(batch, 9, 4, 60).bulk == []


def test_a_line_is_settled_once(ledger, batch) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    assert claim(ledger, 0) == Claim(0, 1, "")
    assert ledger.lines.finish(batch, done(0))
    assert not ledger.lines.finish(batch, failed(0))
    progress = ledger.batches.progress(batch)
    assert (progress.done, progress.failed, progress.issued, progress.duplicates) == (1, 0, 0, 1)
    assert claim(ledger, 0) == ClaimRefused("settled")
    assert ledger.batches.progress(batch).duplicates == 2
    assert [has_bit(ledger.batches.settled_bits(batch), line) for line in (0, 1)] == [True, False]
    assert ledger.lines.defer(batch, 0, "a-1:x", 0, "storage_unavailable") == 0


@redis_only
def test_settling_a_line_deletes_everything_else_stored_for_it(ledger, batch) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    claim(ledger, 0)
    ledger.lines.finish(batch, done(0))
    left = set(ledger.connection.client.keys(f"cutout:batch:{batch}:*"))
    assert left == {
        names.redis_key(batch, part) for part in ("settled", "failed", "outcomes", "recent_results")
    }


def test_lines_of_a_batch_that_is_unknown_or_closed_cannot_be_settled(ledger, batch) -> None:
    assert not ledger.lines.finish("b-20260101-000000-999999", done(0))
    ledger.batches.discard(batch)
    assert not ledger.lines.finish(batch, done(0))
    assert ledger.batches.progress(batch).done == 0


def test_many_lines_are_settled_in_one_call(ledger, batch) -> None:
    ledger.lines.finish(batch, done(1))
    assert ledger.lines.finish_all(batch, [done(line) for line in range(4)]) == 3
    assert ledger.batches.progress(batch).done == 4


def test_a_claimed_line_is_held_until_its_lease_ends(ledger, batch) -> None:
    assert claim(ledger, 0, "a-1:x", lease=60) == Claim(0, 1, "")
    assert claim(ledger, 0, "b-2:y") == ClaimRefused("held")
    assert reissue(ledger).bulk == []
    assert claim(ledger, 1, "a-1:x", lease=0) == Claim(0, 1, "")
    assert claim(ledger, 1, "b-2:y") == Claim(1, 2, "")  # the first attempt counts as a crash


def test_a_claim_repeated_with_the_same_token_counts_once(ledger, batch) -> None:
    first = claim(ledger, 0, "a-1:x")
    assert claim(ledger, 0, "a-1:x") == first == Claim(0, 1, "")
    assert ledger.batches.progress(batch).claimed == 1


def test_refused_deliveries_of_a_claimed_line_are_no_crashes(ledger, batch) -> None:
    claim(ledger, 0, "a-1:x")
    assert {claim(ledger, 0, f"b-{n}:y") for n in range(10)} == {ClaimRefused("held")}
    assert ledger.batches.progress(batch).duplicates == 10
    ledger.lines.defer(batch, 0, "a-1:x", 0, "storage_unavailable")
    assert claim(ledger, 0, "a-1:z") == Claim(0, 2, "")


def test_a_deferred_line_waits_outside_the_queue_and_its_crash_count_is_reset(
    ledger, batch
) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    claim(ledger, 0)
    assert ledger.lines.defer(batch, 0, "another", 0, "storage_unavailable") == 0
    assert ledger.lines.defer(batch, 0, "a-1:x", 30, "storage_unavailable") == 1
    assert reissue(ledger).bulk == []
    claim(ledger, 1)
    ledger.lines.defer(batch, 1, "a-1:x", 0, "out_of_memory")
    assert reissue(ledger).bulk == [1]
    assert recent_results(ledger) == ["out_of_memory", "storage_unavailable"]


def test_a_crash_that_a_worker_saw_sends_a_line_to_quarantine(ledger, batch) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    claim(ledger, 0, "a-1:x")
    assert not ledger.lines.record_crash(batch, 0, "a-2:", "SIGKILL")
    assert not ledger.lines.record_crash(batch, 1, "a-1:", "SIGKILL")
    assert ledger.lines.record_crash(batch, 0, "a-1:", "SIGSEGV")
    assert claim(ledger, 0, "a-3:y") == ClaimRefused("quarantined")
    assert reissue(ledger).quarantine == [0]
    assert reissue(ledger).quarantine == []
    assert ledger.batches.progress(batch).quarantined == 1
    assert claim(ledger, 0, "q-1:x", quarantine=True) == Claim(1, 2, "SIGSEGV")
    assert ledger.lines.record_crash(batch, 0, "q-1:", "time limit of 3 s")
    assert claim(ledger, 0, "q-2:x", quarantine=True) == Claim(2, 3, "SIGSEGV, time limit of 3 s")


def test_of_crashes_that_nobody_saw_only_the_second_sends_a_line_to_quarantine(
    ledger, batch
) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    claim(ledger, 0, "a-1:x", lease=-1)
    issued = reissue(ledger)
    assert (issued.bulk, issued.quarantine) == ([0], [])
    assert claim(ledger, 0, "b-1:x", lease=-1) == Claim(1, 2, "")
    issued = reissue(ledger)
    assert (issued.bulk, issued.quarantine) == ([], [0])


def test_an_overdue_line_is_not_lost_while_older_messages_are_queued(ledger, batch) -> None:
    issued_at = ledger.lines.issue(batch, 2, 2, 0).issued_at
    assert ledger.lines.reissue(batch, 9, 0, 0, (str(issued_at - 1), "")).bulk == []
    # a worker may have received the message and not claimed the line yet
    assert ledger.lines.reissue(batch, 9, 0, 5, ("", "")).bulk == []
    assert ledger.lines.reissue(batch, 9, 0, 0, (str(issued_at + 1), "")).bulk == [0, 1]


def test_at_most_so_many_lines_are_reissued_and_retries_come_first(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 9, -60)
    claim(ledger, 3, "a-1:x")
    ledger.lines.defer(batch, 3, "a-1:x", -5, "storage_unavailable")
    assert ledger.lines.reissue(batch, 2, 60, 0, ("", "")).bulk == [3, 0]
    assert ledger.lines.reissue(batch, 9, 60, 0, ("", "")).bulk == [1, 2]


def test_outcome_rows_are_read_in_order_and_dropped_once_stored(ledger, batch) -> None:
    for line in range(4):
        ledger.lines.finish(batch, done(line))
    rows = ledger.lines.outcomes(batch, 3)
    assert [outcome_of(row) for row in rows] == [done(0), done(1), done(2)]
    ledger.lines.drop_outcomes(batch, rows[1].id)
    left = ledger.lines.outcomes(batch, 10)
    assert [outcome_of(row).line for row in left] == [2, 3]
    assert left[0] == rows[2]
    first, last = left[0].id, left[-1].id
    assert names.outcomes_key(batch, 0, first, last) < names.outcomes_key(batch, 0, last, last)


def test_outcome_rows_are_read_newest_first_page_by_page(ledger, batch) -> None:
    ledger.lines.finish_all(batch, [done(line) for line in range(5)])
    first = ledger.lines.newest_outcomes(batch, "", 2)
    second = ledger.lines.newest_outcomes(batch, first[-1].id, 2)
    assert [outcome_of(row).line for row in first + second] == [4, 3, 2, 1]
    assert [outcome_of(row).line for row in undrained(ledger.lines, batch)] == [4, 3, 2, 1, 0]


def test_a_row_carries_the_epoch_in_which_its_line_was_settled(ledger, batch) -> None:
    ledger.lines.finish_all(batch, [failed(0), done(1)])
    assert ledger.batches.reopen(batch, [0]) == 1
    ledger.lines.finish(batch, done(0))
    assert [(row.epoch, outcome_of(row).line) for row in ledger.lines.outcomes(batch, 9)] == [
        (0, 0), (0, 1), (1, 0),
    ]  # fmt: skip


def test_recent_results_name_the_worker_and_the_time(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    began = int(time.time())
    claim(ledger, 0)
    ledger.lines.defer(batch, 0, "a-1:x", 30, "time_limit", "bulk.u2netp.p3-1@my host")
    ledger.lines.finish(batch, done(1).model_copy(update={"worker": "b@c"}))
    ledger.lines.finish(batch, done(2))
    results = ledger.batches.recent_results(batch)
    assert [(result.code, result.worker) for result in results] == [
        ("ok", ""), ("ok", "b@c"), ("time_limit", "bulk.u2netp.p3-1@my host"),
    ]  # fmt: skip
    assert all(began - 1 <= result.time <= time.time() + 1 for result in results)
    assert ledger.batches.recent_results("b-20260101-000000-999999") == []


def test_recent_results_are_bounded_and_name_the_error_behind_a_failure(ledger, batch) -> None:
    ledger.lines.finish(batch, failed(0))
    ledger.lines.finish(batch, failed(1), ErrorCode.ACCESS_DENIED)
    assert recent_results(ledger) == ["access_denied", "ok"]
    for attempt in range(RECENT_RESULTS):
        claim(ledger, 2, f"a-{attempt}:x")
        ledger.lines.defer(batch, 2, f"a-{attempt}:x", 0, "time_limit")
    assert recent_results(ledger) == ["time_limit"] * RECENT_RESULTS


# batches


def test_a_paused_batch_issues_nothing_and_resumes_with_every_line(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    claim(ledger, 0, "a-1:x")
    assert ledger.batches.pause(batch, "why")
    assert stalled(ledger) == ("paused", "why")
    assert claim(ledger, 1) == ClaimRefused("stopped")
    assert ledger.lines.issue(batch, 3, 9, 60).bulk == []
    assert reissue(ledger).bulk == []
    # line 0 was being processed when the batch was paused
    assert ledger.lines.defer(batch, 0, "a-1:x", 999, "storage_unavailable") == 1
    assert ledger.batches.resume(batch) == 3
    assert stalled(ledger) == ("open", "")
    assert ledger.batches.progress(batch).issued == 3
    assert reissue(ledger).bulk == [0, 1, 2]
    assert claim(ledger, 0, "a-1:y") == Claim(0, 1, "")  # retries restart at zero
    assert recent_results(ledger) == []


def test_resuming_leaves_claimed_lines_to_their_workers(ledger, batch) -> None:
    claim(ledger, 0, "a-1:x")
    ledger.batches.pause(batch, "why")
    assert ledger.batches.resume(batch) == 0
    assert claim(ledger, 0, "b-1:x") == ClaimRefused("held")


def test_resuming_leaves_a_batch_that_is_not_paused_alone(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    assert ledger.batches.resume(batch) == 0
    assert reissue(ledger).bulk == []
    ledger.batches.cancel(batch)
    assert ledger.batches.resume(batch) == 0
    assert stalled(ledger) == ("cancelling", "")


@pytest.mark.slow
@redis_only
def test_no_command_of_a_large_batch_handles_more_than_a_chunk(ledger, monkeypatch) -> None:
    large = 15 * SCRIPT_LINES
    ledger.batches.register(spec(total=large))
    ledger.batches.open(BATCH)
    while ledger.lines.issue(BATCH, SCRIPT_LINES, large, 60).bulk:
        pass
    ledger.batches.pause(BATCH, "why")
    redis = ledger.connection.client
    redis.config_resetstat()
    assert ledger.batches.resume(BATCH) == large
    assert ledger.batches.progress(BATCH).issued == large
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] > large // SCRIPT_LINES

    rows = [done(line) for line in range(large - 1)]
    assert ledger.lines.finish_all(BATCH, rows) == large - 1
    redis.config_resetstat()
    assert len(ledger.lines.outcomes(BATCH, 10 * large)) == large - 1
    assert len(ledger.lines.outcomes(BATCH, large - 2)) == large - 2
    assert redis.info("commandstats")["cmdstat_xrange"]["calls"] == 30

    last = ledger.lines.outcomes(BATCH, large)[-2].id
    trimmed = []
    xtrim = ledger.connection.client.xtrim

    def counted(*arguments, **options) -> int:
        trimmed.append(xtrim(*arguments, **options))
        return trimmed[-1]

    monkeypatch.setattr(ledger.connection.client, "xtrim", counted)
    ledger.lines.drop_outcomes(BATCH, last)
    assert len(ledger.lines.outcomes(BATCH, large)) == 1
    assert sum(trimmed) == large - 2
    assert max(trimmed) <= DROPPED_ROWS


@redis_only
def test_a_resume_that_was_killed_halfway_is_completed_by_the_next(ledger) -> None:
    large = 2 * SCRIPT_LINES
    ledger.batches.register(spec(total=large))
    ledger.batches.open(BATCH)
    while ledger.lines.issue(BATCH, SCRIPT_LINES, large, 60).bulk:
        pass
    ledger.batches.pause(BATCH, "why")
    run_for, calls = ledger.connection.run_for, itertools.count()

    def killed_at_the_second(*arguments):
        if next(calls):
            raise KeyboardInterrupt
        return run_for(*arguments)

    ledger.connection.run_for = killed_at_the_second
    with pytest.raises(KeyboardInterrupt):
        ledger.batches.resume(BATCH)
    ledger.connection.run_for = run_for
    assert stalled(ledger) == ("paused", "why")
    assert ledger.batches.progress(BATCH).issued == large
    assert ledger.batches.resume(BATCH) == large
    assert stalled(ledger) == ("open", "")


@redis_only
def test_a_cutout_that_was_closed_but_not_packed_is_read_all_the_same(ledger) -> None:
    ledger.cutouts.register(cutout_spec())
    output = Output(key="a.png", width=6, height=4)
    outcome = Outcome(line=0, key="a.jpg", status=Status.DONE, outputs=[output])
    ledger.lines.finish(CUTOUT, outcome)
    run_for = ledger.connection.run_for
    ledger.connection.run_for = lambda *_: 0  # killed between the two steps
    assert ledger.cutouts.close(CUTOUT, 60)
    ledger.connection.run_for = run_for
    assert ledger.cutouts.outcome(CUTOUT) == outcome
    assert ledger.batches.progress(CUTOUT).state == "closed"
    assert ledger.batches.exists(CUTOUT)


@redis_only
def test_settling_a_line_takes_one_round_trip(ledger, batch) -> None:
    claim(ledger, 0)
    ledger.lines.finish(batch, done(0))
    redis = ledger.connection.client
    redis.config_resetstat()
    claim(ledger, 1)
    ledger.lines.finish(batch, done(1))
    stats = redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 2
    assert not [name for name in stats if "script" in name]


def test_settled_images_are_counted_over_all_batches(ledger, batch) -> None:
    assert ledger.batches.settled_counts() == dict.fromkeys(Status, 0)
    ledger.lines.finish_all(batch, [done(0), done(0), failed(1)])
    ledger.batches.reopen(batch, [1])
    ledger.lines.finish(batch, done(1))
    ledger.batches.forget(batch)
    counts = {Status.DONE: 2, Status.SKIPPED: 0, Status.FAILED: 1}
    assert ledger.batches.settled_counts() == counts


def test_dropped_messages_are_counted(ledger) -> None:
    assert ledger.workers.dropped_messages() == 0
    ledger.workers.count_dropped_message()
    ledger.workers.count_dropped_message()
    assert ledger.workers.dropped_messages() == 2


def test_a_batch_that_is_being_cancelled_is_not_reopened(ledger, batch) -> None:
    ledger.lines.finish(batch, failed(0))
    ledger.batches.cancel(batch)
    assert ledger.batches.reopen(batch, [0]) == 0
    assert ledger.batches.progress(batch).failed == 1


def test_a_repeated_claim_is_valid_after_a_cancellation(ledger, batch) -> None:
    first = claim(ledger, 0)
    ledger.batches.cancel(batch)
    assert claim(ledger, 0) == first
    assert claim(ledger, 1) == ClaimRefused("stopped")


def test_unclaimed_lines_are_found_in_order(ledger) -> None:
    ledger.batches.register(spec(total=30))
    assert ledger.lines.unclaimed(BATCH, 0, 3) == Unclaimed({0: 0, 1: 0, 2: 0}, 3)
    ledger.batches.open(BATCH)
    ledger.lines.finish_all(BATCH, [done(line) for line in range(30) if line not in {1, 17, 29}])
    assert ledger.lines.unclaimed(BATCH, 0, 2) == Unclaimed({1: 0, 17: 0}, 18)
    assert ledger.lines.unclaimed(BATCH, 17, 9).attempts == {17: 0, 29: 0}
    assert ledger.lines.unclaimed(BATCH, 0, 9).following >= 30
    ledger.lines.finish_all(BATCH, [done(line) for line in (1, 17, 29)])
    found = ledger.lines.unclaimed(BATCH, 0, 9)
    assert (found.attempts, found.following >= 30) == ({}, True)
    assert ledger.lines.unclaimed("b-20200101-000000-aaaaaa", 0, 9).attempts == {}


def test_a_claimed_line_is_left_to_its_worker_until_its_lease_ends(ledger, batch) -> None:
    claim(ledger, 0)
    claim(ledger, 1)
    assert ledger.lines.defer(batch, 1, "a-1:x", 60, "storage_unavailable") == 1
    claim(ledger, 2, lease=-1)
    assert ledger.lines.unclaimed(batch, 0, 3) == Unclaimed({1: 1, 2: 1}, 3)


def test_settled_and_outstanding_lines_are_not_issued_again(ledger) -> None:
    ledger.batches.register(spec(total=40))
    ledger.batches.open(BATCH)
    ledger.lines.finish_all(BATCH, [failed(line) for line in (*range(19), 21)])
    assert ledger.lines.issue(BATCH, 5, 40, 60).bulk == [19, 20, 22, 23, 24]
    assert ledger.batches.reopen(BATCH, [3, 17]) == 2
    assert ledger.lines.issue(BATCH, 5, 40, 60).bulk == [3, 17, 25, 26, 27]
    assert ledger.lines.issue(BATCH, 40, 40, 60).bulk == list(range(28, 40))
    assert ledger.lines.issue(BATCH, 40, 40, 60).bulk == []


def test_counters_of_several_batches_are_read_at_once(ledger, batch) -> None:
    other = "b-20260101-000000-00000b"
    ledger.batches.register(spec(other, total=7))
    ledger.lines.issue(batch, 3, 3, 60)
    rows = ledger.batches.progress_of([other, "b-20200101-000000-aaaaaa", batch])
    assert rows == [ledger.batches.progress(other), ledger.batches.progress(batch)]
    assert ledger.batches.progress_of([]) == []


def test_a_pause_by_the_circuit_breaker_may_say_when_it_ends(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    assert ledger.batches.trip(batch, "storage", 1234.5)
    assert (stalled(ledger), ledger.batches.progress(batch).retry_at) == (
        ("paused", "storage"), 1234.5,
    )  # fmt: skip
    assert ledger.batches.resume_tripped(batch) == 3
    assert (stalled(ledger), ledger.batches.progress(batch).retry_at) == (("open", ""), None)
    assert ledger.batches.trip(batch, "credentials", None)
    assert ledger.batches.resume_tripped(batch) == 0
    assert stalled(ledger) == ("paused", "credentials")
    assert ledger.batches.resume(batch) == 3


def test_a_pause_by_an_operator_outlasts_the_circuit_breaker(ledger, batch) -> None:
    ledger.batches.trip(batch, "storage", 1234.5)
    assert ledger.batches.pause(batch, "an operator paused it")
    assert ledger.batches.progress(batch).retry_at is None
    assert not ledger.batches.trip(batch, "storage", 1234.5)
    assert ledger.batches.resume_tripped(batch) == 0
    assert stalled(ledger) == ("paused", "an operator paused it")


def test_resetting_messages_takes_back_every_outstanding_line(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    claim(ledger, 0, "a-1:x")
    for queue in QUEUES:
        enqueue(ledger, queue, 1)
    receive(ledger, f"{batch}.0")
    assert ledger.lines.unacknowledged() == [f"{batch}.0"]
    ledger.batches.reset_messages(*QUEUES)
    assert [ledger.workers.queue_length(queue) for queue in QUEUES] == [0, 0]
    assert ledger.lines.unacknowledged() == []
    assert sorted(reissue(ledger).bulk) == [0, 1, 2]
    assert claim(ledger, 0, "b-1:x") == Claim(0, 1, "")  # line 0 did not crash


def test_resetting_messages_leaves_a_pause_in_force(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    ledger.batches.pause(batch, "why")
    ledger.batches.reset_messages("queue")
    assert stalled(ledger) == ("paused", "why")
    assert ledger.batches.resume(batch) == 3


def test_a_batch_that_is_cancelled_or_closed_cannot_be_paused(ledger, batch) -> None:
    assert ledger.batches.cancel(batch)
    assert not ledger.batches.pause(batch, "why")
    assert claim(ledger, 0) == ClaimRefused("stopped")
    assert not close(ledger, batch)
    ledger.batches.discard(batch)
    assert not ledger.batches.cancel(batch)


def test_lines_being_processed_are_settled_in_a_cancelled_batch(ledger, batch) -> None:
    claim(ledger, 0)
    assert ledger.batches.cancel(batch)
    assert ledger.lines.finish(batch, done(0))
    assert ledger.batches.progress(batch).done == 1


def due_callbacks(ledger: Ledger) -> list[str]:
    if isinstance(ledger, MemoryLedger):
        return ledger.state.callbacks
    return ledger.connection.client.zrange(names.BATCH_CALLBACKS, 0, -1)


def test_each_end_of_a_batch_makes_its_callback_due(ledger) -> None:
    ledger.batches.register(spec(total=1, has_callback=True))
    ledger.batches.open(BATCH)
    for epoch in range(2):
        assert not close(ledger, BATCH)
        assert due_callbacks(ledger) == [f"{BATCH}:{n}" for n in range(epoch)]
        ledger.lines.finish(BATCH, failed(0))
        assert close(ledger, BATCH)
        assert due_callbacks(ledger) == [f"{BATCH}:{n}" for n in range(epoch + 1)]
        assert ledger.batches.reopen(BATCH, [0])


def test_a_batch_without_a_callback_or_report_makes_none_due(ledger, batch) -> None:
    ledger.lines.finish_all(batch, [done(line) for line in range(TOTAL)])
    assert close(ledger, batch)
    other = "b-20260101-000000-ffffff"
    ledger.batches.register(spec(other, has_callback=True))
    ledger.batches.discard(other)
    assert due_callbacks(ledger) == []


def test_due_retries_wait_while_the_window_is_full(ledger, batch) -> None:
    ledger.lines.issue(batch, 6, 6, 60)
    for line in range(4):
        claim(ledger, line)
        ledger.lines.defer(batch, line, "a-1:x", -1, "x")
    # two lines are queued, and four are due
    assert reissue(ledger, window=2).bulk == []
    assert reissue(ledger, window=4).bulk == [0, 1]
    claim(ledger, 4, lease=0)
    # a line whose worker vanished is in the window already
    assert reissue(ledger, window=0).bulk == [4]
    assert reissue(ledger, window=100).bulk == [2, 3]


def test_failures_of_the_storage_are_counted(ledger, batch) -> None:
    for line, code in enumerate(("storage_unavailable", "time_limit", "storage_unavailable")):
        claim(ledger, line)
        ledger.lines.defer(batch, line, "a-1:x", 0, code)
    ledger.lines.defer(batch, 0, "a-1:x", 0, "storage_unavailable")  # not claimed any more
    assert ledger.batches.snapshot(batch, QUEUES).storage_errors == 2


def test_a_reason_for_no_progress_never_replaces_that_of_a_pause(ledger, batch) -> None:
    ledger.batches.set_stalled_reason(batch, "no worker")
    assert stalled(ledger) == ("open", "no worker")
    ledger.batches.set_stalled_reason(batch, "")
    assert stalled(ledger) == ("open", "")
    ledger.batches.pause(batch, "why")
    ledger.batches.set_stalled_reason(batch, "no worker")
    assert stalled(ledger) == ("paused", "why")


def test_only_the_schedule_of_an_open_or_paused_batch_changes(ledger, batch) -> None:
    later = Schedule(not_before="2026-01-31T22:00:00Z")
    old = ledger.batches.progress(batch).spec
    new = old.model_copy(update={"schedule": later})
    assert ledger.batches.reschedule(batch, lambda spec: new if spec == old else spec) == new
    ledger.batches.pause(batch, "why")
    assert ledger.batches.reschedule(batch, lambda _: new) == new
    assert ledger.batches.progress(batch).spec == new
    ledger.batches.cancel(batch)
    assert ledger.batches.reschedule(batch, lambda _: old) is None
    assert ledger.batches.reschedule("b-20260101-000000-ffffff", lambda _: old) is None
    assert ledger.batches.progress(batch).spec == new


def test_of_two_reschedulings_at_once_none_undoes_the_other(ledger, batch) -> None:
    def change(spec: BatchSpec, **fields: object) -> BatchSpec:
        return spec.model_copy(update={"schedule": spec.schedule.model_copy(update=fields)})

    seen = []

    def slow(spec: BatchSpec) -> BatchSpec:
        if not seen:
            ledger.batches.reschedule(batch, lambda spec: change(spec, priority=7))
        seen.append(spec.schedule.priority)
        return change(spec, weight=3)

    new = ledger.batches.reschedule(batch, slow)
    assert seen == [0, 7]
    assert new.schedule == Schedule(priority=7, weight=3)
    assert ledger.batches.progress(batch).spec == new


def test_a_batch_is_late_if_it_ends_after_its_deadline(ledger) -> None:
    deadline = Schedule(deadline="2026-01-31T06:00:00Z")
    ledger.batches.register(spec(schedule=deadline))
    assert not ledger.batches.progress(BATCH).late
    moment = deadline.deadline.timestamp()
    for eta, late in ((moment - 1, False), (moment + 1, True)):
        ledger.batches.set_eta(BATCH, eta)
        progress = ledger.batches.progress(BATCH)
        assert (progress.eta, progress.late) == (eta, late)
    ledger.batches.forget(BATCH)
    ledger.batches.set_eta(BATCH, moment)
    assert not ledger.batches.exists(BATCH)


def test_failed_lines_are_reopened_and_their_batch_with_them(ledger, batch) -> None:
    ledger.lines.issue(batch, TOTAL, TOTAL, 60)
    ledger.lines.finish_all(batch, [done(line) for line in range(TOTAL - 2)])
    for line in (TOTAL - 2, TOTAL - 1):
        ledger.lines.finish(batch, failed(line))
    ledger.batches.set_eta(batch, 1234.5)
    assert close(ledger, batch)
    assert ledger.batches.open_ids() == []

    assert ledger.batches.reopen(batch, [TOTAL - 2]) == 1
    assert ledger.batches.reopen(batch, [TOTAL - 2, TOTAL - 1], "poisoned before") == 1
    assert ledger.batches.reopen(batch, [TOTAL - 2]) == 0
    assert ledger.batches.open_ids() == [batch]
    progress = ledger.batches.progress(batch)
    assert (progress.state, progress.closed, progress.eta) == ("open", None, None)
    assert (progress.done, progress.failed) == (TOTAL - 2, 0)
    assert not close(ledger, batch)
    assert ledger.lines.issue(batch, 9, 9, 60).bulk == [TOTAL - 2, TOTAL - 1]
    assert claim(ledger, TOTAL - 1) == ClaimRefused("quarantined")
    assert claim(ledger, TOTAL - 1, "q-1:x", quarantine=True) == Claim(1, 2, "poisoned before")


@redis_only
def test_a_closed_batch_expires_unless_it_is_reopened(ledger, batch) -> None:
    ledger.lines.finish(batch, failed(0))
    ledger.batches.discard(batch)
    redis = ledger.connection.client
    assert redis.ttl(names.redis_key(batch)) > 0
    assert redis.ttl(names.redis_key(batch, "settled")) > 0
    ledger.batches.reopen(batch, [0])
    assert redis.ttl(names.redis_key(batch)) == -1
    assert redis.ttl(names.redis_key(batch, "settled")) == -1


def test_outstanding_lines_are_not_issued_twice_after_the_cursor_was_set_back(
    ledger, batch
) -> None:
    ledger.lines.issue(batch, 4, 4, 60)
    ledger.lines.finish(batch, failed(0))
    claim(ledger, 1)
    ledger.lines.defer(batch, 2, "a-1:x", 30, "x")
    ledger.batches.reopen(batch, [0])
    assert ledger.lines.issue(batch, 9, 5, 60).bulk == [0, 4]


def test_nothing_is_issued_before_a_batch_is_opened(ledger) -> None:
    ledger.batches.register(spec())
    assert ledger.batches.exists(BATCH)
    assert ledger.batches.progress(BATCH).state == "registering"
    assert ledger.lines.issue(BATCH, 9, 9, 60).bulk == []
    assert claim(ledger, 0) == ClaimRefused("stopped")
    assert ledger.batches.open_ids() == []
    ledger.batches.open(BATCH)
    assert ledger.batches.open_ids() == [BATCH]
    assert ledger.lines.issue(BATCH, 1, 9, 60).bulk == [0]


# listings


@pytest.fixture
def registering(ledger: Ledger) -> str:
    assert ledger.listings.begin(spec(total=0))
    return BATCH


def test_a_batch_is_known_while_its_source_is_listed(ledger, registering) -> None:
    assert ledger.batches.ids() == ledger.listings.ids() == [BATCH]
    assert ledger.batches.open_ids() == []
    assert not ledger.listings.begin(spec(total=7))
    assert ledger.listings.acquire(BATCH, "one")
    assert ledger.listings.record(BATCH, "one", 12_000, "storage is away")
    progress = ledger.batches.progress(BATCH)
    assert (progress.state, progress.spec.total) == ("registering", 12_000)
    assert progress.stalled_reason == "storage is away"
    assert ledger.listings.complete(spec(total=4), "one")
    assert ledger.lines.finish(BATCH, failed(3))
    ledger.batches.open(BATCH)
    progress = ledger.batches.progress(BATCH)
    assert (progress.state, progress.spec.total, progress.failed) == ("open", 4, 1)
    assert progress.stalled_reason == ""
    assert ledger.listings.ids() == []
    assert ledger.lines.issue(BATCH, 9, 9, 60).bulk == [0, 1, 2]


def test_one_process_at_a_time_lists_a_source(ledger, registering) -> None:
    assert ledger.listings.acquire(BATCH, "one")
    assert not ledger.listings.acquire(BATCH, "two")
    assert not ledger.listings.record(BATCH, "two", 1)
    assert not ledger.listings.complete(spec(), "two")
    assert not ledger.listings.fail(BATCH, "why", "two")
    ledger.listings.release(BATCH, "two")
    assert not ledger.listings.acquire(BATCH, "two")
    ledger.listings.release(BATCH, "one")
    assert ledger.listings.acquire(BATCH, "two")
    assert not ledger.listings.complete(spec(), "one")
    assert ledger.batches.progress(BATCH).spec.total == 0


def test_a_listing_that_lost_its_lease_changes_no_open_batch(ledger, registering) -> None:
    assert ledger.listings.acquire(BATCH, "one")
    assert ledger.listings.complete(spec(), "one")
    ledger.batches.open(BATCH)
    assert not ledger.listings.record(BATCH, "one", 5)
    assert not ledger.listings.complete(spec(total=1), "one")
    assert not ledger.listings.fail(BATCH, "why", "one")
    ledger.batches.discard(BATCH)
    ledger.batches.open(BATCH)
    assert ledger.batches.progress(BATCH).state == "closed"


@pytest.mark.parametrize("token", ["one", ""])
def test_a_failed_listing_keeps_its_reason(ledger, registering, token: str) -> None:
    assert ledger.listings.acquire(BATCH, "one")
    assert ledger.listings.fail(BATCH, "access_denied: no.", token)
    progress = ledger.batches.progress(BATCH)
    assert (progress.state, progress.stalled_reason) == ("failed", "access_denied: no.")
    assert progress.closed is not None
    assert ledger.batches.ids() == [BATCH]
    assert ledger.listings.ids() == ledger.batches.open_ids() == []
    assert not ledger.listings.acquire(BATCH, "one")
    assert not ledger.listings.fail(BATCH, "again", token)


def test_a_failed_listing_makes_the_callback_due(ledger) -> None:
    ledger.listings.begin(spec(has_callback=True, total=0))
    ledger.listings.begin(spec("b-20260101-000000-ffffff", total=0))
    for batch in (BATCH, "b-20260101-000000-ffffff"):
        assert ledger.listings.fail(batch, "why")
        assert not ledger.listings.fail(batch, "again")
    assert due_callbacks(ledger) == [f"{BATCH}:0"]


def test_a_name_stays_with_its_first_batch(ledger) -> None:
    assert ledger.listings.reserve_name("spring", "digest", "b-1").batch == "b-1"
    again = ledger.listings.reserve_name("spring", "other", "b-2")
    assert (again.digest, again.batch) == ("digest", "b-1")
    assert ledger.listings.reserve_name("summer", "digest", "b-2").batch == "b-2"
    ledger.listings.release_name("spring", "digest", "b-2")
    assert ledger.listings.reserve_name("spring", "digest", "b-3").batch == "b-1"
    ledger.listings.release_name("spring", "digest", "b-1")
    assert ledger.listings.reserve_name("spring", "digest", "b-3").batch == "b-3"


@redis_only
def test_a_listing_that_nobody_continues_expires(ledger, registering) -> None:
    redis = ledger.connection.client
    assert 0 < redis.ttl(f"cutout:batch:{BATCH}") <= 24 * 3600
    ledger.listings.acquire(BATCH, "one")
    assert 0 < redis.pttl(f"cutout:batch:{BATCH}:lister") <= 30_000
    ledger.batches.forget(BATCH)
    assert ledger.listings.ids() == []
    assert redis.keys(f"*{BATCH}*") == [f"cutout:batch:{BATCH}:deleted"]


def test_a_restored_batch_continues_with_its_unsettled_lines(ledger) -> None:
    counts = {Status.DONE: 1, Status.SKIPPED: 1, Status.FAILED: 1}
    bits = bytes([0b1101_0000]), bytes([0b0001_0000])
    ledger.batches.restore(spec(total=5), *bits, counts, epoch=3)
    ledger.batches.open(BATCH)
    progress = ledger.batches.progress(BATCH)
    assert progress.epoch == 3
    assert (ledger.batches.settled_bits(BATCH), ledger.batches.failed_bits(BATCH)) == bits
    assert (progress.done, progress.skipped, progress.failed, progress.settled) == (1, 1, 1, 3)
    assert progress.spec == spec(total=5, created=progress.spec.created)
    assert claim(ledger, 3) == ClaimRefused("settled")
    assert ledger.lines.issue(BATCH, 9, 9, 60).bulk == [2, 4]
    ledger.lines.finish_all(BATCH, [done(2), done(4)])
    assert ledger.batches.settled_bits(BATCH) == bytes([0b1111_1000])
    assert close(ledger, BATCH)


def test_batches_are_listed_newest_first_without_cutouts(ledger) -> None:
    now = time.time()
    for number in range(3):
        ledger.batches.register(spec(f"b-20260101-000000-00000{number}", created=now + number))
    ledger.cutouts.register(cutout_spec())
    assert ledger.batches.ids() == [f"b-20260101-000000-00000{number}" for number in (2, 1, 0)]
    assert ledger.batches.open_ids() == [CUTOUT]
    ledger.batches.forget("b-20260101-000000-000001")
    assert ledger.batches.ids() == [f"b-20260101-000000-00000{number}" for number in (2, 0)]


def test_a_batch_is_listed_as_long_as_it_exists(ledger) -> None:
    ledger.batches.register(spec(created=time.time() - 100 * 24 * 3600))
    ledger.batches.open(BATCH)
    assert ledger.batches.ids() == ledger.batches.ids() == [BATCH]
    ledger.batches.forget(BATCH)
    assert ledger.batches.ids() == []


def test_an_unknown_batch_is_refused_by_its_name(ledger) -> None:
    for read in (ledger.batches.progress, lambda batch: ledger.batches.snapshot(batch, QUEUES)):
        with pytest.raises(PermanentError, match=BATCH) as caught:
            read(BATCH)
        assert caught.value.code is ErrorCode.BATCH_UNKNOWN
    assert not ledger.batches.exists(BATCH)
    assert ledger.batches.settled_bits(BATCH) == b""
    assert ledger.lines.outcomes(BATCH, 9) == []
    assert ledger.cutouts.outcome(BATCH) is None
    assert not ledger.batches.close(BATCH, 0, "d")
    assert not ledger.batches.pause(BATCH, "why")
    assert ledger.batches.resume(BATCH) == 0
    assert ledger.batches.reopen(BATCH, [0]) == 0


def test_a_forgotten_batch_is_gone_with_all_its_lines(ledger, batch) -> None:
    ledger.lines.issue(batch, 2, 9, 60)
    claim(ledger, 0)
    ledger.batches.forget(batch)
    assert not ledger.batches.exists(batch)
    assert ledger.batches.open_ids() == []
    assert not ledger.lines.finish(batch, done(0))
    assert not ledger.batches.exists(batch)


def test_only_a_closed_batch_is_forgotten_for_good(ledger, batch) -> None:
    ledger.lines.finish(batch, failed(0))
    assert not ledger.batches.forget_closed(batch)
    ledger.batches.discard(batch)
    assert ledger.batches.forget_closed(batch)
    assert ledger.batches.reopen(batch, [0]) == 0
    assert not ledger.batches.exists(batch)
    assert ledger.batches.forget_closed(batch)


@pytest.mark.slow
def test_counters_of_a_closed_batch_expire(ledger, batch) -> None:
    ledger.batches.discard(batch, kept=1)
    assert ledger.batches.progress(batch).state == "closed"
    assert ledger.batches.progress(batch).closed == pytest.approx(time.time(), abs=2)
    until(lambda: not ledger.batches.exists(batch))


# the dispatcher's snapshot


def test_a_snapshot_agrees_with_the_progress(ledger, batch) -> None:
    ledger.lines.issue(batch, 3, 9, 60)
    claim(ledger, 0)
    ledger.lines.finish(batch, done(1))
    snapshot = ledger.batches.snapshot(batch, QUEUES)
    assert snapshot.progress == ledger.batches.progress(batch)
    assert (snapshot.progress.issued, snapshot.progress.claimed) == (2, 1)
    assert (snapshot.undrained, [result.code for result in snapshot.recent_results]) == (1, ["ok"])


def test_a_snapshot_says_if_all_lines_were_issued(ledger, batch) -> None:
    ledger.lines.issue(batch, TOTAL - 1, 99, 60)
    assert not ledger.batches.snapshot(batch, QUEUES).all_issued
    ledger.lines.issue(batch, 1, 99, 60)
    assert ledger.batches.snapshot(batch, QUEUES).all_issued
    ledger.lines.finish(batch, failed(5))
    ledger.batches.reopen(batch, [5])
    assert not ledger.batches.snapshot(batch, QUEUES).all_issued


def nothing_due(ledger) -> None:
    ledger.lines.issue(BATCH, 1, 9, 60)
    claim(ledger, 1)
    claim(ledger, 2, "a-1:y")
    ledger.lines.defer(BATCH, 2, "a-1:y", 60, "time_limit")


def queued_overdue(ledger) -> None:
    ledger.lines.issue(BATCH, 1, 9, -1)


def lease_expired(ledger) -> None:
    claim(ledger, 0, lease=-1)


def retry_due(ledger) -> None:
    claim(ledger, 0)
    ledger.lines.defer(BATCH, 0, "a-1:x", -1, "time_limit")


def crash_recorded(ledger) -> None:
    claim(ledger, 0)
    ledger.lines.record_crash(BATCH, 0, "a-1:", "SIGSEGV")


def quarantined_overdue(ledger) -> None:
    crash_recorded(ledger)
    reissue(ledger, timeout=-1)


@pytest.mark.parametrize(
    ("arrange", "due"),
    [
        (lambda _: None, False), (nothing_due, False), (queued_overdue, True),
        (lease_expired, True), (retry_due, True), (crash_recorded, True),
        (quarantined_overdue, True),
    ],
)  # fmt: skip
def test_a_snapshot_says_if_a_line_is_due(ledger, batch, arrange, due) -> None:
    arrange(ledger)
    assert ledger.batches.snapshot(batch, QUEUES).something_due is due


def test_a_snapshot_says_when_the_next_message_of_each_queue_was_issued(ledger, batch) -> None:
    assert ledger.batches.snapshot(batch, QUEUES).oldest_queued == ("", "")
    for issued in (11.5, 12.5):
        enqueue(ledger, QUEUES[0], issued)
    enqueue(ledger, QUEUES[1], 7)
    oldest = ledger.batches.snapshot(batch, QUEUES).oldest_queued
    assert tuple(map(float, oldest)) == (11.5, 7)
    assert [ledger.workers.queue_length(queue) for queue in (*QUEUES, "other")] == [2, 1, 0]


def test_the_states_of_queues_say_how_long_messages_wait(ledger) -> None:
    now = time.time()
    for issued in (now - 70, now - 5):
        enqueue(ledger, QUEUES[0], issued)
    states = ledger.workers.queue_states([*QUEUES, "other"])
    assert states[QUEUES[0]].length == 2
    assert 69 < states[QUEUES[0]].oldest_seconds < 200
    assert states[QUEUES[1]] == states["other"] == QueueState(0, 0)
    assert ledger.workers.queue_states([]) == {}


@redis_only
def test_the_age_of_a_message_in_another_format_is_unknown(ledger) -> None:
    ledger.connection.client.lpush("other", "no message")
    assert ledger.workers.queue_states(["other"]) == {"other": QueueState(1, 0)}


# cutouts


@pytest.mark.slow
def test_the_outcome_of_a_cutout_is_read_at_once_and_after_closing(ledger) -> None:
    ledger.cutouts.register(cutout_spec())
    assert ledger.cutouts.outcome(CUTOUT) is None
    output = Output(key="a.png", width=6, height=4)
    outcome = Outcome(line=0, key="a.jpg", status=Status.DONE, outputs=[output])
    ledger.lines.finish(CUTOUT, outcome)
    assert ledger.cutouts.outcome(CUTOUT) == outcome
    for _ in range(2):
        assert ledger.cutouts.close(CUTOUT, 1)
    progress = ledger.batches.progress(CUTOUT)
    assert (progress.state, progress.done) == ("closed", 1)
    assert progress.closed == pytest.approx(time.time(), abs=2)
    assert ledger.cutouts.outcome(CUTOUT) == outcome
    assert ledger.lines.outcomes(CUTOUT, 9) == []
    assert ledger.batches.open_ids() == []
    until(lambda: not ledger.batches.exists(CUTOUT))


def test_a_cutout_without_an_outcome_is_closed_only_if_it_is_being_deleted(ledger) -> None:
    """A dispatcher may have read it before it was lost, and restored."""
    ledger.cutouts.register(cutout_spec())
    assert not ledger.cutouts.close(CUTOUT, 60)
    assert ledger.batches.progress(CUTOUT).state == "open"
    ledger.batches.cancel(CUTOUT)
    assert ledger.cutouts.close(CUTOUT, 60)
    assert ledger.batches.progress(CUTOUT).state == "closed"


# workers and the dispatcher's lease


def test_workers_are_listed_by_name_until_they_unregister(ledger) -> None:
    workers = [Worker(name, "bulk.u2netp.p3", 2, 0.25) for name in ("a", "b")]
    for worker in reversed(workers):
        ledger.workers.register(worker)
        ledger.workers.register(worker)
    assert ledger.workers.list() == workers
    ledger.workers.unregister("a")
    ledger.workers.unregister("unknown")
    assert ledger.workers.list() == workers[1:]


@redis_only
def test_a_silent_worker_expires(ledger) -> None:
    ledger.workers.register(Worker("a", "bulk.u2netp.p3", 2, 0))
    redis = ledger.connection.client
    assert 0 < redis.ttl(names.worker_key("a")) <= 30
    redis.delete(names.worker_key("a"))
    assert ledger.workers.list() == []
    assert redis.smembers(names.WORKERS) == set()


def test_shared_settings_are_those_of_the_processes_that_run(ledger) -> None:
    own, other = {"a": "1", "b": "2.5"}, {"a": "1", "b": "3"}
    assert ledger.workers.share_settings(own) == own
    assert ledger.workers.share_settings(own) == own
    assert ledger.workers.share_settings(other) == own
    assert ledger.workers.shared_settings() == own
    ledger.batches.reset_messages()
    assert ledger.workers.shared_settings() == {}
    assert ledger.workers.share_settings(other) == other


@redis_only
def test_shared_settings_that_nobody_renews_expire(ledger) -> None:
    redis = ledger.connection.client
    ledger.workers.share_settings({"a": "1"})
    redis.expire(names.SHARED_SETTINGS, 5)
    ledger.workers.share_settings({"a": "2"})  # does not prolong them
    assert 0 < redis.ttl(names.SHARED_SETTINGS) <= 5
    ledger.workers.share_settings({"a": "1"})
    assert 5 < redis.ttl(names.SHARED_SETTINGS) <= 30


def test_one_dispatcher_holds_the_lease(ledger) -> None:
    assert not ledger.has_dispatcher()
    assert ledger.acquire_lease("one", 60)
    assert ledger.has_dispatcher()
    assert ledger.acquire_lease("one", 60)
    assert not ledger.acquire_lease("two", 60)
    ledger.release_lease("two")
    assert not ledger.acquire_lease("two", 60)
    ledger.release_lease("one")
    assert ledger.acquire_lease("two", 0.05)
    until(lambda: ledger.acquire_lease("one", 60), pause=0.02)


def test_one_dispatcher_at_a_time_may_write_a_report(ledger, batch) -> None:
    assert ledger.batches.lease_report(batch, "one", 60)
    assert ledger.batches.lease_report(batch, "one", 60)
    assert not ledger.batches.lease_report(batch, "two", 60)
    ledger.batches.release_report(batch, "two")
    assert not ledger.batches.lease_report(batch, "two", 60)
    assert ledger.batches.renew_report(batch, "one", 60)
    ledger.batches.release_report(batch, "one")
    assert not ledger.batches.renew_report(batch, "one", 60)  # free, but another may have had it
    assert ledger.batches.lease_report(batch, "two", 60)
    assert ledger.batches.renew_report(batch, "two", 0.05)
    until(lambda: ledger.batches.lease_report(batch, "one", 60), pause=0.02)
    assert not ledger.batches.renew_report(batch, "two", 60)


def test_a_ledger_that_answers_can_be_pinged(ledger) -> None:
    ledger.ping()
    assert abs(ledger.workers.clock_skew()) < 1


# the fake's own clock


def test_time_passes_in_memory_as_the_test_says() -> None:
    now = [1000.0]
    ledger = MemoryLedger(clock=lambda: now[0])
    ledger.workers.register(Worker("a", "bulk.u2netp.p3", 2, 0))
    ledger.workers.share_settings({"a": "1"})
    ledger.batches.register(spec())
    now[0] += 29
    assert len(ledger.workers.list()) == 1
    assert ledger.workers.share_settings({"a": "2"}) == {"a": "1"}
    now[0] += 1
    assert ledger.workers.share_settings({"a": "2"}) == {"a": "2"}
    assert ledger.workers.list() == []
    now[0] += 24 * 3600
    assert not ledger.batches.exists(BATCH)  # never opened


def test_two_retries_at_once_reopen_each_failed_line_once(ledger, batch: str) -> None:
    ledger.lines.finish_all(batch, [failed(0), failed(1), done(2)])
    assert ledger.batches.reopen(batch, [0, 1, 2]) == 2  # 2 has not failed
    assert ledger.batches.reopen(batch, [0, 1]) == 0
    progress = ledger.batches.progress(batch)
    assert (progress.done, progress.failed) == (1, 0)
    ledger.lines.finish(batch, done(0))  # by a worker, between the two calls of an operator
    assert ledger.batches.reopen(batch, [0, 1]) == 0
    progress = ledger.batches.progress(batch)
    assert (progress.done, progress.failed) == (2, 0)


def test_a_batch_is_not_closed_over_a_retry(ledger) -> None:
    ledger.batches.register(spec(total=2))
    ledger.batches.open(BATCH)
    ledger.lines.finish_all(BATCH, [failed(0), done(1)])
    before = ledger.batches.progress(BATCH).epoch
    ledger.batches.reopen(BATCH, [0])
    ledger.lines.finish(BATCH, done(0))
    ledger.batches.lease_report(BATCH, "d", 60)
    ledger.lines.drop_outcomes(BATCH, ledger.lines.outcomes(BATCH, 9)[-1].id)
    assert not ledger.batches.close(BATCH, before, "d")
    assert ledger.batches.close(BATCH, ledger.batches.progress(BATCH).epoch, "d")


def test_a_batch_is_closed_by_the_holder_of_its_reports_lease_once_its_rows_are_drained(
    ledger,
) -> None:
    ledger.batches.register(spec(total=1))
    ledger.batches.open(BATCH)
    ledger.lines.finish(BATCH, done(0))
    assert ledger.batches.lease_report(BATCH, "d", 60)
    assert not ledger.batches.close(BATCH, 0, "d")
    ledger.lines.drop_outcomes(BATCH, ledger.lines.outcomes(BATCH, 9)[-1].id)
    assert not ledger.batches.close(BATCH, 0, "another")
    assert ledger.batches.close(BATCH, 0, "d")
    assert not ledger.batches.close(BATCH, 0, "d")  # or it would have a second callback


def test_lines_without_a_row_are_reopened_and_the_counters_corrected(ledger) -> None:
    ledger.batches.register(spec(total=4))
    ledger.batches.open(BATCH)
    ledger.lines.issue(BATCH, 4, 4, 60)
    ledger.lines.finish_all(BATCH, [done(0), failed(1), done(2), failed(3)])
    counts = {Status.DONE: 3, Status.SKIPPED: 0, Status.FAILED: 1}  # 2 and 3 have no row
    assert not ledger.batches.reopen_unreported(BATCH, 7, counts, [2])
    assert ledger.batches.reopen_unreported(BATCH, 0, counts, [2])
    ledger.lines.finish(BATCH, done(2))  # by a worker, before the next call
    assert ledger.batches.reopen_unreported(BATCH, 1, None, [3])
    progress = ledger.batches.progress(BATCH)
    assert (progress.done, progress.failed, progress.epoch) == (2, 1, 2)
    assert ledger.lines.issue(BATCH, 4, 4, 60).bulk == [3]
    assert ledger.batches.reopen(BATCH, [1, 3]) == 1


def test_a_deleted_cutout_is_not_brought_back_by_closing_it(ledger) -> None:
    assert not ledger.cutouts.close(CUTOUT, 60)
    assert not ledger.batches.exists(CUTOUT)


def test_a_cutout_is_open_as_soon_as_it_is_registered(ledger) -> None:
    ledger.cutouts.register(cutout_spec())
    assert ledger.batches.progress(CUTOUT).state == "open"
    assert ledger.batches.open_ids() == [CUTOUT]
    assert ledger.lines.issue(CUTOUT, 1, 1, 60).bulk == [0]


def test_a_batch_that_was_forgotten_cannot_be_opened(ledger) -> None:
    with pytest.raises(PermanentError) as caught:
        ledger.batches.open(BATCH)
    assert caught.value.code is ErrorCode.BATCH_UNKNOWN
    assert not ledger.batches.exists(BATCH)
    assert ledger.batches.open_ids() == []


def test_a_lease_is_renewed_by_the_attempt_that_holds_it(ledger, batch) -> None:
    claim(ledger, 0, "a-1:x", lease=0.2)
    assert ledger.lines.renew(batch, 0, "a-1:x", 60)
    time.sleep(0.3)
    assert claim(ledger, 0, "b-1:x") == ClaimRefused("held")
    assert not ledger.lines.renew(batch, 0, "b-1:x", 60)


def test_a_lease_is_not_renewed_once_the_line_was_taken_over(ledger, batch) -> None:
    ledger.lines.issue(batch, 1, 9, 60)
    claim(ledger, 0, "a-1:x", lease=0.1)
    time.sleep(0.2)
    assert ledger.lines.renew(batch, 0, "a-1:x", 0.1)  # over, but nobody else has it
    time.sleep(0.2)
    assert ledger.lines.reissue(batch, 9, 60, 0, ("", "")).bulk == [0]
    assert not ledger.lines.renew(batch, 0, "a-1:x", 60)
    claim(ledger, 0, "b-1:x")
    assert not ledger.lines.renew(batch, 0, "a-1:x", 60)
    ledger.lines.finish(batch, done(0))
    assert not ledger.lines.renew(batch, 0, "b-1:x", 60)
    assert not ledger.lines.renew("b-20260101-000000-ffffff", 0, "b-1:x", 60)


def test_a_lost_cutout_is_restored_once(ledger) -> None:
    spec = cutout_spec()
    assert ledger.cutouts.register(spec, None, 60)
    ledger.lines.issue(CUTOUT, 1, 1, 60)
    assert not ledger.cutouts.register(spec, None, 60)
    assert not ledger.cutouts.register(spec, done(0), 60)
    progress = ledger.batches.progress(CUTOUT)
    assert (progress.spec, progress.state, progress.issued) == (spec, "open", 1)
    assert ledger.batches.open_ids() == [CUTOUT]
    assert ledger.lines.finish(CUTOUT, done(0))
    assert ledger.cutouts.outcome(CUTOUT) == done(0)


@pytest.mark.slow
@pytest.mark.parametrize("status", Status)
def test_a_lost_cutout_is_restored_with_its_outcome(ledger, status: Status) -> None:
    outcome = Outcome(line=0, key="a.jpg", status=status)
    assert ledger.cutouts.register(cutout_spec(), outcome, 1)
    progress = ledger.batches.progress(CUTOUT)
    counts = {
        Status.DONE: progress.done, Status.SKIPPED: progress.skipped, Status.FAILED: progress.failed
    }  # fmt: skip
    assert (progress.state, progress.settled, counts[status]) == ("closed", 1, 1)
    assert progress.closed == pytest.approx(time.time(), abs=2)
    assert ledger.cutouts.outcome(CUTOUT) == outcome
    assert ledger.batches.open_ids() == []
    assert not ledger.lines.finish(CUTOUT, outcome)
    until(lambda: not ledger.batches.exists(CUTOUT))


def test_a_deleted_cutout_is_not_restored(ledger) -> None:
    assert not ledger.batches.was_deleted(CUTOUT)
    ledger.cutouts.register(cutout_spec())
    ledger.batches.forget(CUTOUT)
    assert ledger.batches.was_deleted(CUTOUT)
    for outcome in (None, done(0)):
        assert not ledger.cutouts.register(cutout_spec(), outcome, 60)
    assert not ledger.batches.exists(CUTOUT)


def test_what_was_written_is_synced_to_disk(ledger, batch) -> None:
    assert ledger.sync()


@redis_only
def test_a_redis_without_an_append_only_file_cannot_tell_what_is_on_disk(ledger, batch) -> None:
    ledger.connection.client.config_set("appendonly", "no")
    assert not ledger.sync()


def test_lines_are_settled_only_in_the_state_that_was_read(ledger, batch) -> None:
    assert ledger.lines.finish_all(batch, [failed(0)], state="cancelling") == 0
    ledger.batches.cancel(batch)
    assert ledger.lines.finish_all(batch, [failed(0)], state="cancelling") == 1
    assert ledger.batches.progress(batch).failed == 1


def test_a_batch_of_a_newer_release_is_left_out_of_lists(ledger: Ledger, batch: str) -> None:
    other = "b-20260101-000000-ffffff"
    ledger.batches.register(newer(spec(other)))
    ledger.batches.open(other)
    left: list[tuple[str, ErrorCode]] = []
    found = ledger.batches.progress_of(
        [other, batch], lambda one, error: left.append((one, error.code))
    )
    assert [progress.spec.id for progress in found] == [batch]
    assert left == [(other, ErrorCode.NEWER_RELEASE)]
    assert [one.spec.id for one in ledger.batches.progress_of([batch, other])] == [batch]
    for read in (
        lambda: ledger.batches.progress(other), lambda: ledger.batches.snapshot(other, QUEUES),
    ):  # fmt: skip
        with pytest.raises(PermanentError, match=f"Batch {other} comes from a newer") as caught:
            read()
        assert caught.value.code is ErrorCode.NEWER_RELEASE


@redis_only
@pytest.mark.parametrize(
    ("field", "value"),
    [("spec", "no JSON"), ("state", "frozen"), ("spec", None)],
    ids=["damaged", "of another state", "packed otherwise"],
)
def test_what_else_a_batch_can_be_harms_no_other(
    ledger: RedisLedger, batch: str, field: str, value: str | None
) -> None:
    other, redis = "b-20260101-000000-ffffff", ledger.connection.client
    ledger.batches.register(spec(other))
    ledger.batches.open(other)
    if value is None:
        redis.hdel(names.redis_key(other), field)
    else:
        redis.hset(names.redis_key(other), field, value)
    assert [one.spec.id for one in ledger.batches.progress_of([batch, other])] == [batch]
    with pytest.raises(PermanentError, match=other):
        ledger.batches.progress(other)
