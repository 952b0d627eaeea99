"""The options that schedule a batch. Times are written as 22:00 or 2026-01-31T22:00."""

from datetime import UTC, datetime, timedelta

import typer

from contract.schedule import Schedule, changed

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


def rescheduled(current: Schedule, not_before: str | None, deadline: str | None) -> Schedule:
    """Return the schedule that options make of `current`. None: the option was not given.

    A deadline without a date is the first one after the start. Raises typer.BadParameter, and
    PermanentError (`invalid_schedule`).
    """
    changes: dict[str, object] = {}
    start = current.not_before
    if not_before is not None:
        changes["not_before"] = start = parse_time(not_before, datetime.now(UTC))
    if deadline is not None:
        now = datetime.now(UTC)
        changes["deadline"] = parse_time(deadline, max(now, start) if start else now)
    return changed(current, changes)
