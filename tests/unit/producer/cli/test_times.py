import time
from datetime import UTC, datetime

import pytest
import typer

from producer.cli.times import parse_time


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
