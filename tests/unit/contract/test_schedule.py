from datetime import UTC, datetime

import pytest

from contract.errors import ErrorCode, PermanentError
from contract.schedule import IMMEDIATELY, Schedule, changed, utc_text

NIGHT = datetime(2026, 1, 31, 22, tzinfo=UTC)
MORNING = datetime(2026, 2, 1, 6, tzinfo=UTC)


def test_fields_that_are_not_named_stay_as_they_are() -> None:
    schedule = changed(IMMEDIATELY, {"not_before": NIGHT})
    assert changed(schedule, {"deadline": MORNING}) == Schedule(not_before=NIGHT, deadline=MORNING)
    assert changed(schedule, {"not_before": None}) == IMMEDIATELY


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"deadline": NIGHT}, "the deadline must be later than not_before."),
        ({"deadline": "2026-02-01T06:00"}, "deadline: Input should have timezone info."),
        ({"colour": 1}, "colour: Extra inputs are not permitted."),
    ],
)
def test_a_schedule_that_contradicts_itself_is_refused(changes, sentence: str) -> None:
    with pytest.raises(PermanentError) as raised:
        changed(Schedule(not_before=NIGHT), changes)
    assert (raised.value.code, raised.value.message) == (ErrorCode.INVALID_SCHEDULE, sentence)


def test_a_schedule_survives_json_and_keeps_its_offset() -> None:
    schedule = Schedule.model_validate({"not_before": "2026-01-31T22:00:00+01:00"})
    assert Schedule.model_validate_json(schedule.model_dump_json()) == schedule
    assert utc_text(schedule.start) == "2026-01-31 21:00 UTC"
    assert IMMEDIATELY.start == 0


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("9999-12-31T23:59:59-14:00", "9999-12-31 23:59 UTC"),
        ("0001-01-01T00:00:00+14:00", "1970-01-01 00:00 UTC"),
    ],
)
def test_a_time_that_utc_has_no_year_for_can_be_shown(time: str, text: str) -> None:
    assert utc_text(Schedule.model_validate({"not_before": time}).start) == text
