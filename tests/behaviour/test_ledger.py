"""What a line goes through, against a real Redis."""

import pytest

from contract.errors import ErrorCode
from contract.ledger.batches import BatchSpec, Ledger
from contract.ledger.lines import Claim, Issue, Refusal
from contract.outcome import Outcome, Status
from contract.recipe import Recipe
from contract.storage.batch_files import has_bit

BATCH = "b-20260101-000000-000000"
TOTAL = 20


@pytest.fixture
def batch(ledger: Ledger) -> str:
    """An open batch of twenty lines."""
    spec = BatchSpec(
        id=BATCH, source="file:///in", destination="file:///out", recipe=Recipe(model="u2netp"),
        created=0, total=TOTAL, segment_lines=10_000,
    )  # fmt: skip
    ledger.register(spec)
    ledger.open(BATCH)
    return BATCH


def claim(ledger: Ledger, line: int, token="a-1:x", lease: float = 60, quarantine=False):
    return ledger.claim(BATCH, line, token, lease, quarantine=quarantine)


def done(line: int) -> Outcome:
    return Outcome(line=line, key=f"{line}.jpg", status=Status.DONE)


def reissue(ledger: Ledger, timeout: float = 60, grace: float = 0) -> Issue:
    return ledger.reissue(BATCH, 100, timeout, grace, ("", ""))


def test_a_window_is_issued_once_and_in_order(ledger: Ledger, batch: str) -> None:
    assert ledger.issue(batch, 5, 8, 60).bulk == [0, 1, 2, 3, 4]
    assert ledger.issue(batch, 5, 8, 60).bulk == [5, 6, 7]
    assert ledger.issue(batch, 5, 8, 60).bulk == []
    assert ledger.finish(batch, done(0))
    assert ledger.issue(batch, 5, 8, 60).bulk == [8]


def test_a_line_is_settled_once_and_everything_else_of_it_goes(ledger: Ledger, batch: str) -> None:
    ledger.issue(batch, 1, 1, 60)
    assert claim(ledger, 0) == Claim(0, 1, "")
    assert ledger.finish(batch, done(0))
    assert not ledger.finish(batch, Outcome(line=0, key="0.jpg", status=Status.FAILED))
    now = ledger.progress(batch)
    assert (now.done, now.failed, now.issued, now.duplicates) == (1, 0, 0, 1)
    assert claim(ledger, 0) == Refusal("settled")
    assert ledger.progress(batch).duplicates == 2
    assert [has_bit(ledger.settled_bits(batch), line) for line in (0, 1)] == [True, False]
    left = set(ledger._redis.keys(f"cutout:batch:{batch}:*"))
    assert left == {f"cutout:batch:{batch}:{part}" for part in ("settled", "outcomes", "endings")}


def test_a_line_in_hand_is_held_until_its_lease_ends(ledger: Ledger, batch: str) -> None:
    assert claim(ledger, 0, "a-1:x", lease=60) == Claim(0, 1, "")
    assert claim(ledger, 0, "b-2:y") == Refusal("held")
    assert claim(ledger, 0, "a-1:x") == Claim(0, 1, "")  # a call repeated by the client
    assert reissue(ledger).bulk == []
    assert claim(ledger, 1, "a-1:x", lease=0) == Claim(0, 1, "")
    assert claim(ledger, 1, "b-2:y") == Claim(1, 2, "")  # nobody saw the first one end


def test_many_deliveries_of_a_line_in_hand_are_no_deaths(ledger: Ledger, batch: str) -> None:
    claim(ledger, 0, "a-1:x")
    assert {claim(ledger, 0, f"b-{n}:y") for n in range(10)} == {Refusal("held")}
    ledger.defer(batch, 0, "a-1:x", 0, "storage_unavailable")
    assert claim(ledger, 0, "a-1:z") == Claim(0, 2, "")


def test_a_retry_waits_outside_the_broker_and_takes_the_strike_back(
    ledger: Ledger, batch: str
) -> None:
    ledger.issue(batch, 1, 1, 60)
    claim(ledger, 0)
    assert ledger.defer(batch, 0, "another", 0, "storage_unavailable") == 0
    assert ledger.defer(batch, 0, "a-1:x", 30, "storage_unavailable") == 1
    assert reissue(ledger).bulk == []
    claim(ledger, 1)
    ledger.defer(batch, 1, "a-1:x", 0, "out_of_memory")
    assert reissue(ledger).bulk == [1]
    assert ledger.endings(batch) == ["out_of_memory", "storage_unavailable"]


def test_a_death_that_was_seen_sends_a_line_to_quarantine(ledger: Ledger, batch: str) -> None:
    ledger.issue(batch, 1, 1, 60)
    claim(ledger, 0, "a-1:x")
    assert not ledger.vanish(batch, 0, "a-2:", "SIGKILL")
    assert ledger.vanish(batch, 0, "a-1:", "SIGSEGV")
    assert claim(ledger, 0, "a-3:y") == Refusal("quarantine")
    assert reissue(ledger).quarantine == [0]
    assert reissue(ledger).quarantine == []
    assert claim(ledger, 0, "q-1:x", quarantine=True) == Claim(1, 2, "SIGSEGV")
    assert ledger.vanish(batch, 0, "q-1:", "time limit of 3 s")
    assert claim(ledger, 0, "q-2:x", quarantine=True) == Claim(2, 3, "SIGSEGV, time limit of 3 s")


def test_of_deaths_that_nobody_saw_the_second_does(ledger: Ledger, batch: str) -> None:
    ledger.issue(batch, 1, 1, 60)
    claim(ledger, 0, "a-1:x", lease=-1)
    issue = reissue(ledger)
    assert (issue.bulk, issue.quarantine) == ([0], [])
    assert claim(ledger, 0, "b-1:x", lease=-1) == Claim(1, 2, "")
    issue = reissue(ledger)
    assert (issue.bulk, issue.quarantine) == ([], [0])


def test_an_overdue_line_may_still_wait_in_the_queue(ledger: Ledger, batch: str) -> None:
    moment = ledger.issue(batch, 2, 2, 0).moment
    assert ledger.reissue(batch, 9, 0, 0, (str(moment - 1), "")).bulk == []
    assert ledger.reissue(batch, 9, 0, 5, ("", "")).bulk == []  # a worker may just have taken it
    assert ledger.reissue(batch, 9, 0, 0, (str(moment + 1), "")).bulk == [0, 1]


def test_a_paused_batch_hands_out_nothing_and_forgets_nothing(ledger: Ledger, batch: str) -> None:
    ledger.issue(batch, 3, 3, 60)
    claim(ledger, 0, "a-1:x")
    assert ledger.pause(batch, "why")
    assert (ledger.progress(batch).state, ledger.progress(batch).trouble) == ("paused", "why")
    assert claim(ledger, 1) == Refusal("stopped")
    assert ledger.issue(batch, 3, 9, 60).bulk == []
    assert reissue(ledger).bulk == []
    assert ledger.defer(batch, 0, "a-1:x", 999, "storage_unavailable") == 1  # was in hand
    assert ledger.resume(batch) == 3
    now = ledger.progress(batch)
    assert (now.state, now.trouble, now.issued) == ("open", "", 3)
    assert reissue(ledger).bulk == [0, 1, 2]
    assert claim(ledger, 0, "a-1:y") == Claim(0, 1, "")  # retries begin anew
    assert ledger.endings(batch) == []


def test_a_pause_outlives_the_stack_it_was_said_to(ledger: Ledger, batch: str) -> None:
    ledger.issue(batch, 3, 3, 60)
    ledger.pause(batch, "why")
    ledger.forget_messages("queue")  # as the next stack does
    assert (ledger.progress(batch).state, ledger.progress(batch).trouble) == ("paused", "why")
    assert ledger.resume(batch) == 3


def test_a_batch_that_is_cancelled_or_closed_takes_no_pause(ledger: Ledger, batch: str) -> None:
    assert ledger.cancel(batch)
    assert not ledger.pause(batch, "why")
    assert claim(ledger, 0) == Refusal("stopped")
    assert not ledger.close(batch)
    assert ledger.close(batch, unfinished=True)
    assert not ledger.cancel(batch)


def test_failed_lines_are_opened_again_and_their_batch_with_them(
    ledger: Ledger, batch: str
) -> None:
    ledger.issue(batch, TOTAL, TOTAL, 60)
    ledger.finish_all(batch, [done(line) for line in range(TOTAL - 2)])
    for line in (TOTAL - 2, TOTAL - 1):
        ledger.finish(batch, Outcome(line=line, key="x", status=Status.FAILED))
    assert ledger.close(batch)
    assert ledger._redis.ttl(f"cutout:batch:{batch}:settled") > 0
    assert ledger.open_batches() == []

    assert ledger.reopen(batch, [str(TOTAL - 2), f"{TOTAL - 1}:poisoned before"]) == 2
    assert ledger.reopen(batch, [str(TOTAL - 2)]) == 0
    now = ledger.progress(batch)
    assert (now.state, now.done, now.failed, now.closed) == ("open", TOTAL - 2, 0, None)
    assert ledger._redis.ttl(f"cutout:batch:{batch}") == -1
    assert not ledger.close(batch)
    assert ledger.issue(batch, 9, 9, 60).bulk == [TOTAL - 2, TOTAL - 1]
    assert claim(ledger, TOTAL - 1) == Refusal("quarantine")
    assert claim(ledger, TOTAL - 1, "q-1:x", quarantine=True) == Claim(1, 2, "poisoned before")


def test_what_is_outstanding_is_not_issued_again_where_the_cursor_was_set_back(
    ledger: Ledger, batch: str
) -> None:
    ledger.issue(batch, 4, 4, 60)
    ledger.finish(batch, Outcome(line=0, key="x", status=Status.FAILED))
    claim(ledger, 1)
    ledger.defer(batch, 2, "a-1:x", 30, "x")
    ledger.reopen(batch, ["0"])
    assert ledger.issue(batch, 9, 5, 60).bulk == [0, 4]


def test_one_batch_knows_nothing_of_endings_that_are_the_images_own(
    ledger: Ledger, batch: str
) -> None:
    ledger.finish(batch, Outcome(line=0, key="x", status=Status.FAILED))
    ledger.finish(batch, Outcome(line=1, key="x", status=Status.FAILED), ErrorCode.ACCESS_DENIED)
    assert ledger.endings(batch) == ["access_denied", "ok"]
