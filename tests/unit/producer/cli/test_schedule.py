from datetime import UTC, datetime, timedelta

import pytest

from contract.errors import PermanentError
from contract.schedule import IMMEDIATELY, Schedule
from producer.cli.schedule import ScheduleOptions


def applied(schedule: Schedule, **given) -> Schedule:
    """Return a schedule changed by some options."""
    names = ("priority", "weight", "cap", "not_before", "deadline")
    return ScheduleOptions(**{name: given.get(name) for name in names}).applied_to(schedule)


def test_a_deadline_without_a_date_is_the_first_one_after_the_start() -> None:
    start = datetime.now(UTC) + timedelta(days=3, hours=1)
    time_of_day = f"{start.astimezone():%H:%M}"
    schedule = applied(IMMEDIATELY, not_before=start.isoformat(), deadline=time_of_day)
    assert schedule.not_before == start
    assert timedelta() < schedule.deadline - start <= timedelta(days=1)
    later = applied(schedule, deadline="none")
    assert later == Schedule(not_before=start)
    assert applied(later, not_before="none") == IMMEDIATELY


def test_a_deadline_before_the_start_is_refused() -> None:
    with pytest.raises(PermanentError):
        applied(IMMEDIATELY, not_before="2026-03-29", deadline="2026-03-28")


def test_options_that_are_not_given_stay_and_a_cap_of_zero_clears_it() -> None:
    schedule = applied(IMMEDIATELY, priority=-5, weight=3, cap=20)
    assert schedule == Schedule(priority=-5, weight=3, cap=20)
    assert applied(schedule, priority=0) == Schedule(weight=3, cap=20)
    assert applied(schedule, cap=0) == Schedule(priority=-5, weight=3)
