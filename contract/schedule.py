"""When a batch runs, and with which share: chosen at first, and changeable until it is closed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.errors import ErrorCode, PermanentError
from contract.validation import first_error

MAX_PRIORITY = 100
MAX_WEIGHT = 1000


class Schedule(BaseModel):
    """When a batch runs, and with which share of the workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    priority: int = Field(
        0, ge=-MAX_PRIORITY, le=MAX_PRIORITY,
        description="Batches of a higher priority go first: lower ones get only the workers that"
        " these cannot keep busy.",
    )  # fmt: skip
    weight: int = Field(
        1, ge=1, le=MAX_WEIGHT,
        description="Share of the workers among batches of the same priority: a batch of weight 3"
        " gets three times as many as one of weight 1.",
    )  # fmt: skip
    cap: int | None = Field(
        None, ge=1,
        description="Maximum number of the batch's images that are queued or being processed at a"
        " time, for example to spare the storage. Default: as many as the workers need.",
    )  # fmt: skip
    not_before: AwareDatetime | None = Field(
        None,
        description="No image is started before this time. The photographs are listed at once.",
        examples=["2026-01-31T22:00:00+01:00"],
    )
    deadline: AwareDatetime | None = Field(
        None,
        description="When the batch should be finished. It changes nothing but what is reported:"
        " `late` is true if the batch is expected to end later.",
        examples=["2026-02-01T06:00:00+01:00"],
    )

    @property
    def start(self) -> float:
        """Unix seconds before which no image is started; 0 without `not_before`."""
        return self.not_before.timestamp() if self.not_before else 0.0

    @model_validator(mode="after")
    def _times_are_in_order(self) -> Self:
        if self.not_before and self.deadline and self.deadline <= self.not_before:
            raise ValueError("the deadline must be later than not_before")
        return self


IMMEDIATELY = Schedule()
"""The schedule of a batch that names none: at once, and with the same share as any other."""


def changed(schedule: Schedule, changes: Mapping[str, object]) -> Schedule:
    """Return a schedule with some fields replaced. Raises PermanentError (`invalid_schedule`)."""
    try:
        return Schedule.model_validate({**schedule.model_dump(), **changes})
    except ValidationError as error:
        raise PermanentError(ErrorCode.INVALID_SCHEDULE, first_error(error).sentence) from None


LAST_SECOND = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()
"""Unix seconds of the end of the year 9999, behind which no date can be written."""


def utc_text(seconds: float) -> str:
    """Return a time (Unix seconds) from 1970 to 9999 as sentences show it, to the minute."""
    moment = datetime.fromtimestamp(min(max(seconds, 0), LAST_SECOND), UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"
