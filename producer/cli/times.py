"""Points in time as options take them: 22:00, 2026-01-31T22:00, 2026-01-31T22:00:00+01:00.

And durations as they are printed.
"""

from datetime import datetime, timedelta

import typer

NO_TIME = "none"


def parse_time(text: str, after: datetime) -> datetime | None:
    """Return the point in time that `text` names, or None for `none`.

    A time of day is the next one later than `after`. Without an offset from UTC, a time is in this
    machine's time zone. Raises typer.BadParameter.
    """
    if text == NO_TIME:
        return None
    try:
        time_of_day = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - local, see below
    except ValueError:
        try:
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            raise typer.BadParameter(
                f"{text!r} is neither a time of day such as 22:00 nor a date and time such as"
                " 2026-01-31T22:00."
            ) from None
    day = after.astimezone().date()
    # the offset from UTC is that of the day, which daylight saving time may change
    moment = datetime.combine(day, time_of_day).astimezone()
    if moment <= after:
        moment = datetime.combine(day + timedelta(days=1), time_of_day).astimezone()
    return moment


def duration_text(seconds: float) -> str:
    """Return such as `42 s`, `2 min 40 s`, `12 min` or `9 h 05 min`."""
    minutes = round(seconds / 60)
    if minutes < 2:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    if minutes < 10:  # noqa: PLR2004
        tens = round(seconds, -1)
        return f"{tens // 60:.0f} min {tens % 60:02.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"  # noqa: PLR2004
