"""What an audit can find."""

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can be wrong with a batch."""

    NOT_SETTLED = "not_settled"
    NO_OUTCOME = "no_outcome"
    UNLISTED_OUTCOME = "unlisted_outcome"
    WRONG_KEY = "wrong_key"
    BITS_DIFFER = "bits_differ"
    COUNTERS_DIFFER = "counters_differ"
    MANIFEST_DIFFERS = "manifest_differs"
    REPORT_DIFFERS = "report_differs"
    UNACKNOWLEDGED = "unacknowledged"
    OUTPUT_MISSING = "output_missing"
    OUTPUT_BROKEN = "output_broken"
    OUTPUT_SIZE = "output_size"
    OUTPUT_SOURCE = "output_source"
    OUTPUT_RECIPE = "output_recipe"


@dataclass(frozen=True, slots=True)
class Finding:
    fault: Fault
    message: str
    line: int | None = None
    """number of the manifest line, if the finding is about one"""

    def __str__(self) -> str:
        line = "" if self.line is None else f" line {self.line}:"
        return f"{self.fault}:{line} {self.message}"
