import time
from datetime import UTC, datetime, timedelta

import pytest
import typer

from contract.errors import PermanentError
from contract.schedule import IMMEDIATELY, Schedule
from producer.cli.times import parse_time, rescheduled


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch):
    """This machine's time zone, for the test: CET, and CEST from 29 March 2026, 02:00."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NOON = datetime(2026, 3, 28, 11, tzinfo=UTC)
"""12:00 in CET, on the day before clocks are put forward."""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("22:00", "2026-03-28T22:00+01:00"),
        ("12:00", "2026-03-29T12:00+02:00"),  # now is not later than now
        ("6:00", "2026-03-29T06:00+02:00"),
        ("2026-03-28T09:00", "2026-03-28T09:00+01:00"),
        ("2026-07-01 09:00", "2026-07-01T09:00+02:00"),
        ("2026-03-28T09:00Z", "2026-03-28T09:00+00:00"),
        ("2026-03-29", "2026-03-29T00:00+01:00"),
    ],
)
def test_times_are_local_unless_they_have_an_offset(text: str, moment: str) -> None:
    assert parse_time(text, NOON) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("text", ["", "25:00", "tomorrow", "22", "2026-13-01"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_time(text, NOON)


def test_a_deadline_without_a_date_is_the_first_one_after_the_start() -> None:
    start = datetime.now(UTC) + timedelta(days=3, hours=1)
    schedule = rescheduled(IMMEDIATELY, start.isoformat(), f"{start.astimezone():%H:%M}")
    assert schedule.not_before == start
    assert timedelta() < schedule.deadline - start <= timedelta(days=1)
    later = rescheduled(schedule, None, "none")
    assert later == Schedule(not_before=start)
    assert rescheduled(later, "none", None) == IMMEDIATELY


def test_a_deadline_before_the_start_is_refused() -> None:
    with pytest.raises(PermanentError):
        rescheduled(IMMEDIATELY, "2026-03-29", "2026-03-28")
