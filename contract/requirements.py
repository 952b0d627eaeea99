"""What a preset requires of a file, and where each requirement was read."""

from dataclasses import dataclass
from enum import StrEnum


class Check(StrEnum):
    """What is measured of a file."""

    FORMAT = "format"
    CHANNELS = "channels"
    COLOUR_SPACE = "colour_space"
    BYTES = "bytes"
    LONGEST_SIDE = "longest_side"
    SHORTEST_SIDE = "shortest_side"
    MEGAPIXELS = "megapixels"
    ASPECT = "aspect"
    BACKGROUND = "background"
    FILL = "fill"
    FRAME = "frame"
    SOFT_EDGE = "soft_edge"


UNITS = {
    Check.BYTES: " bytes", Check.LONGEST_SIDE: " px", Check.SHORTEST_SIDE: " px",
    Check.MEGAPIXELS: " MP", Check.FILL: " %", Check.SOFT_EDGE: " px",
}  # fmt: skip
"""check -> unit of its figure"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a requirement was read."""

    url: str
    title: str
    is_official: bool
    """True if the marketplace itself publishes the page"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one check of a file must yield."""

    check: Check
    low: float | None = None
    """the smallest figure that passes"""
    high: float | None = None
    """the largest figure that passes"""
    values: tuple[str, ...] = ()
    """the figures that pass, if they are words"""
    source: Source | None = None
    """None: the preset's own choice"""
    note: str = ""

    @property
    def text(self) -> str:
        """What is required, in a few words."""
        unit = UNITS.get(self.check, "")
        if self.values:
            return " or ".join(self.values)
        low, high = (f"{bound:,.10g}" for bound in (self.low or 0, self.high or 0))
        if self.low is None:
            return f"at most {high}{unit}"
        if self.high is None:
            return f"at least {low}{unit}"
        return f"{low} to {high}{unit}"

    def passes(self, figure: float | str) -> bool:
        """Return whether a figure, a word if `values` are words, fulfils the requirement."""
        if isinstance(figure, str):
            return figure in self.values
        return (self.low is None or figure >= self.low) and (
            self.high is None or figure <= self.high
        )
