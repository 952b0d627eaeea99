"""What a line goes through, against a real Redis."""

import pytest

from contract.batch import BatchSpec
from contract.errors import ErrorCode
from contract.ledger import Claim, ClaimRefused, Issued
from contract.ledger.redis_ledger import RedisLedger
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.storage.batch_files import has_bit

BATCH = "b-20260101-000000-000000"
TOTAL = 20


@pytest.fixture
def batch(ledger: RedisLedger) -> str:
    """An open batch of twenty lines."""
    spec = BatchSpec(
        id=BATCH, source="file:///in", destination="file:///out", recipe=Recipe(model="u2netp"),
        created=0, total=TOTAL, segment_lines=10_000,
    )  # fmt: skip
    ledger.batches.register(spec)
    ledger.batches.open(BATCH)
    return BATCH


def claim(ledger: RedisLedger, line: int, token="a-1:x", lease: float = 60, quarantine=False):
    return ledger.lines.claim(BATCH, line, token, lease, quarantine=quarantine)


def recent_results(ledger: RedisLedger) -> list[str]:
    return ledger.batches.snapshot(BATCH, ("", "")).recent_results


def done(line: int) -> Outcome:
    return Outcome(line=line, key=f"{line}.jpg", status=Status.DONE)


def reissue(ledger: RedisLedger, timeout: float = 60, grace: float = 0) -> Issued:
    return ledger.lines.reissue(BATCH, 100, timeout, grace, ("", ""))


def test_a_window_is_issued_once_and_in_order(ledger: RedisLedger, batch: str) -> None:
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == [0, 1, 2, 3, 4]
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == [5, 6, 7]
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == []
    assert ledger.lines.finish(batch, done(0))
    assert ledger.lines.issue(batch, 5, 8, 60).bulk == [8]


def test_a_line_is_settled_once_and_everything_else_of_it_goes(
    ledger: RedisLedger, batch: str
) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    assert claim(ledger, 0) == Claim(0, 1, "")
    assert ledger.lines.finish(batch, done(0))
    assert not ledger.lines.finish(batch, Outcome(line=0, key="0.jpg", status=Status.FAILED))
    now = ledger.batches.progress(batch)
    assert (now.done, now.failed, now.issued, now.duplicates) == (1, 0, 0, 1)
    assert claim(ledger, 0) == ClaimRefused("settled")
    assert ledger.batches.progress(batch).duplicates == 2
    assert [has_bit(ledger.batches.settled_bits(batch), line) for line in (0, 1)] == [True, False]
    left = set(ledger.connection.client.keys(f"cutout:batch:{batch}:*"))
    assert left == {
        f"cutout:batch:{batch}:{part}" for part in ("settled", "outcomes", "recent_results")
    }


def test_a_line_in_hand_is_held_until_its_lease_ends(ledger: RedisLedger, batch: str) -> None:
    assert claim(ledger, 0, "a-1:x", lease=60) == Claim(0, 1, "")
    assert claim(ledger, 0, "b-2:y") == ClaimRefused("held")
    assert claim(ledger, 0, "a-1:x") == Claim(0, 1, "")  # a call repeated by the client
    assert reissue(ledger).bulk == []
    assert claim(ledger, 1, "a-1:x", lease=0) == Claim(0, 1, "")
    assert claim(ledger, 1, "b-2:y") == Claim(1, 2, "")  # nobody saw the first one end


def test_many_deliveries_of_a_line_in_hand_are_no_deaths(ledger: RedisLedger, batch: str) -> None:
    claim(ledger, 0, "a-1:x")
    assert {claim(ledger, 0, f"b-{n}:y") for n in range(10)} == {ClaimRefused("held")}
    ledger.lines.defer(batch, 0, "a-1:x", 0, "storage_unavailable")
    assert claim(ledger, 0, "a-1:z") == Claim(0, 2, "")


def test_a_retry_waits_outside_the_broker_and_takes_the_strike_back(
    ledger: RedisLedger, batch: str
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


def test_a_death_that_was_seen_sends_a_line_to_quarantine(ledger: RedisLedger, batch: str) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    claim(ledger, 0, "a-1:x")
    assert not ledger.lines.record_crash(batch, 0, "a-2:", "SIGKILL")
    assert ledger.lines.record_crash(batch, 0, "a-1:", "SIGSEGV")
    assert claim(ledger, 0, "a-3:y") == ClaimRefused("quarantined")
    assert reissue(ledger).quarantine == [0]
    assert reissue(ledger).quarantine == []
    assert claim(ledger, 0, "q-1:x", quarantine=True) == Claim(1, 2, "SIGSEGV")
    assert ledger.lines.record_crash(batch, 0, "q-1:", "time limit of 3 s")
    assert claim(ledger, 0, "q-2:x", quarantine=True) == Claim(2, 3, "SIGSEGV, time limit of 3 s")


def test_of_deaths_that_nobody_saw_the_second_does(ledger: RedisLedger, batch: str) -> None:
    ledger.lines.issue(batch, 1, 1, 60)
    claim(ledger, 0, "a-1:x", lease=-1)
    issue = reissue(ledger)
    assert (issue.bulk, issue.quarantine) == ([0], [])
    assert claim(ledger, 0, "b-1:x", lease=-1) == Claim(1, 2, "")
    issue = reissue(ledger)
    assert (issue.bulk, issue.quarantine) == ([], [0])


def test_an_overdue_line_may_still_wait_in_the_queue(ledger: RedisLedger, batch: str) -> None:
    moment = ledger.lines.issue(batch, 2, 2, 0).issued_at
    assert ledger.lines.reissue(batch, 9, 0, 0, (str(moment - 1), "")).bulk == []
    assert (
        ledger.lines.reissue(batch, 9, 0, 5, ("", "")).bulk == []
    )  # a worker may just have taken it
    assert ledger.lines.reissue(batch, 9, 0, 0, (str(moment + 1), "")).bulk == [0, 1]


def test_a_paused_batch_hands_out_nothing_and_forgets_nothing(
    ledger: RedisLedger, batch: str
) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    claim(ledger, 0, "a-1:x")
    assert ledger.batches.pause(batch, "why")
    assert (
        ledger.batches.progress(batch).state,
        ledger.batches.progress(batch).stalled_reason,
    ) == ("paused", "why")
    assert claim(ledger, 1) == ClaimRefused("stopped")
    assert ledger.lines.issue(batch, 3, 9, 60).bulk == []
    assert reissue(ledger).bulk == []
    assert ledger.lines.defer(batch, 0, "a-1:x", 999, "storage_unavailable") == 1  # was in hand
    assert ledger.batches.resume(batch) == 3
    now = ledger.batches.progress(batch)
    assert (now.state, now.stalled_reason, now.issued) == ("open", "", 3)
    assert reissue(ledger).bulk == [0, 1, 2]
    assert claim(ledger, 0, "a-1:y") == Claim(0, 1, "")  # retries begin anew
    assert recent_results(ledger) == []


def test_a_pause_outlives_the_stack_it_was_said_to(ledger: RedisLedger, batch: str) -> None:
    ledger.lines.issue(batch, 3, 3, 60)
    ledger.batches.pause(batch, "why")
    ledger.batches.reset_messages("queue")  # as the next stack does
    assert (
        ledger.batches.progress(batch).state,
        ledger.batches.progress(batch).stalled_reason,
    ) == ("paused", "why")
    assert ledger.batches.resume(batch) == 3


def test_a_batch_that_is_cancelled_or_closed_takes_no_pause(
    ledger: RedisLedger, batch: str
) -> None:
    assert ledger.batches.cancel(batch)
    assert not ledger.batches.pause(batch, "why")
    assert claim(ledger, 0) == ClaimRefused("stopped")
    assert not ledger.batches.close(batch)
    assert ledger.batches.close(batch, unfinished=True)
    assert not ledger.batches.cancel(batch)


def test_failed_lines_are_opened_again_and_their_batch_with_them(
    ledger: RedisLedger, batch: str
) -> None:
    ledger.lines.issue(batch, TOTAL, TOTAL, 60)
    ledger.lines.finish_all(batch, [done(line) for line in range(TOTAL - 2)])
    for line in (TOTAL - 2, TOTAL - 1):
        ledger.lines.finish(batch, Outcome(line=line, key="x", status=Status.FAILED))
    assert ledger.batches.close(batch)
    assert ledger.connection.client.ttl(f"cutout:batch:{batch}:settled") > 0
    assert ledger.batches.open_ids() == []

    assert ledger.batches.reopen(batch, [str(TOTAL - 2), f"{TOTAL - 1}:poisoned before"]) == 2
    assert ledger.batches.reopen(batch, [str(TOTAL - 2)]) == 0
    now = ledger.batches.progress(batch)
    assert (now.state, now.done, now.failed, now.closed) == ("open", TOTAL - 2, 0, None)
    assert ledger.connection.client.ttl(f"cutout:batch:{batch}") == -1
    assert not ledger.batches.close(batch)
    assert ledger.lines.issue(batch, 9, 9, 60).bulk == [TOTAL - 2, TOTAL - 1]
    assert claim(ledger, TOTAL - 1) == ClaimRefused("quarantined")
    assert claim(ledger, TOTAL - 1, "q-1:x", quarantine=True) == Claim(1, 2, "poisoned before")


def test_what_is_outstanding_is_not_issued_again_where_the_cursor_was_set_back(
    ledger: RedisLedger, batch: str
) -> None:
    ledger.lines.issue(batch, 4, 4, 60)
    ledger.lines.finish(batch, Outcome(line=0, key="x", status=Status.FAILED))
    claim(ledger, 1)
    ledger.lines.defer(batch, 2, "a-1:x", 30, "x")
    ledger.batches.reopen(batch, ["0"])
    assert ledger.lines.issue(batch, 9, 5, 60).bulk == [0, 4]


def test_one_batch_knows_nothing_of_endings_that_are_the_images_own(
    ledger: RedisLedger, batch: str
) -> None:
    ledger.lines.finish(batch, Outcome(line=0, key="x", status=Status.FAILED))
    ledger.lines.finish(
        batch, Outcome(line=1, key="x", status=Status.FAILED), ErrorCode.ACCESS_DENIED
    )
    assert recent_results(ledger) == ["access_denied", "ok"]
