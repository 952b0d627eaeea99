"""What a check found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from contract.errors import NEXT_STEP, CutoutError


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Images are processed, though not as well or as safely as they could be."""
    ERROR = "error"
    """Images fail, are delayed or may be lost."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    level: Level
    message: str
    next_step: str = ""
    """what to do; empty if nothing"""


Check = Callable[[], Iterator[Finding]]
"""Yields what it found. May raise CutoutError instead."""


def from_error(check: str, error: CutoutError, level: Level = Level.ERROR) -> Finding:
    """Return an error of the product as a finding."""
    return Finding(check, level, f"{error.code}: {error.message}", NEXT_STEP[error.code])


def findings(checks: dict[str, Check]) -> Iterator[Finding]:
    """Yield the findings of each check; a CutoutError is one too, and ends that check alone."""
    for name, check in checks.items():
        try:
            yield from check()
        except CutoutError as error:
            yield from_error(name, error)
