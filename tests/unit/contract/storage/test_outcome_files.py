from hypothesis import given
from hypothesis import strategies as st

from contract.line_bits import no_bits, set_bit
from contract.outcome import Outcome, OutcomeRow, Status
from contract.storage.files import FileStore
from contract.storage.outcome_files import (
    FAILED_MARK,
    agreeing,
    highest_epoch,
    latest,
    rows,
    write_segments,
)


def outcome(line: int, status: Status) -> Outcome:
    return Outcome(line=line, key=f'"status":"failed" {line}.jpg', status=status)


def row(identity: str, epoch: int, line: int, status: Status = Status.DONE) -> OutcomeRow:
    return OutcomeRow(identity, epoch, outcome(line, status).model_dump_json(exclude_defaults=True))


def test_rows_of_the_highest_epoch_come_first_whatever_the_clock_says(tmp_path):
    store = FileStore(tmp_path)
    write_segments(store, "b", [row("9000-0", 0, 0), row("9000-1", 0, 1), row("9000-2", 1, 0)])
    write_segments(store, "b", [row("1-0", 2, 1), row("1-1", 2, 2)])
    assert [o.line for o in rows(store, "b")] == [2, 1, 0, 1, 0]
    assert highest_epoch(store, "b") == 2
    assert highest_epoch(store, "unknown") == 0


def test_epochs_are_in_order_beyond_a_million(tmp_path):
    store = FileStore(tmp_path)
    write_segments(store, "b", [row("1-0", 999_999, 0), row("1-1", 1_000_000, 1)])
    assert [o.line for o in rows(store, "b")] == [1, 0]
    assert highest_epoch(store, "b") == 1_000_000


def test_failed_rows_are_found_without_parsing_the_others(tmp_path):
    store = FileStore(tmp_path)
    write_segments(store, "b", [row("1-0", 0, 0), row("1-1", 0, 1, Status.FAILED)])
    assert [o.line for o in rows(store, "b", FAILED_MARK)] == [1]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(Status))), st.sets(st.integers(0, 9)))
def test_one_row_of_each_line_is_chosen_and_it_agrees_with_the_ledger(given_rows, failed):
    stored = [outcome(line, status) for line, status in given_rows]
    settled_bits, failed_bits = no_bits(10), no_bits(10)
    settled = {line for line in range(10) if line % 3}
    for line in settled:
        set_bit(settled_bits, line)
    for line in failed:
        set_bit(failed_bits, line)
    chosen = list(latest(agreeing(stored, bytes(settled_bits), bytes(failed_bits)), 10))
    assert len({o.line for o in chosen}) == len(chosen)
    for o in chosen:
        assert o.line in settled
        assert (o.status is Status.FAILED) == (o.line in failed)
    possible = {
        line
        for line, status in given_rows
        if line in settled and (status is Status.FAILED) == (line in failed)
    }
    assert {o.line for o in chosen} == possible
