"""What becomes of photographs with a doubtful subject, and of files that fail their preset."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.error_codes import ErrorCode

Treatment = Literal["deliver", "review", "fail"]
DELIVERED: Treatment = "deliver"
"""What a recipe does with doubtful photographs by default, as 2 or 3 of 100 good photographs raise
doubts. They are in the report in any case. docs/quality.md has the figures."""


class Policy(BaseModel):
    """What becomes of an output: by the doubt about its subject, or if it fails its preset.

    By default doubtful photographs are delivered, and files that fail their preset are not written.

    `deliver`: it is written where the others are. `review`: it is written below `_review/`, and the
    report says why. `fail`: it is not written, and fails with the name of the field as its code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_subject: Treatment = Field(
        DELIVERED, description="Nothing in the photograph stands out as its subject."
    )
    ambiguous_subject: Treatment = Field(
        DELIVERED, description="The network is unsure what the subject is, or where it ends."
    )
    subject_cut_by_frame: Treatment = Field(
        DELIVERED, description="The subject goes on outside of the photograph."
    )
    preset_failed: Literal["review", "fail"] = Field(
        "fail", description="The file fails the preset that its rendition names in `verify`."
    )

    @property
    def reviews(self) -> bool:
        """True if outputs may be written below `_review/`."""
        return "review" in self.model_dump().values()

    def strictest(self, doubts: Iterable[ErrorCode]) -> tuple[Treatment, ErrorCode | None]:
        """Return what becomes of a photograph with these doubts, and which doubt decides it."""
        decisive: dict[Treatment, ErrorCode] = {}
        for doubt in doubts:
            decisive.setdefault(getattr(self, doubt), doubt)
        strict: tuple[Treatment, ...] = ("fail", "review")
        for treatment in strict:
            if treatment in decisive:
                return treatment, decisive[treatment]
        return DELIVERED, None


DEFAULT_POLICY = Policy()
