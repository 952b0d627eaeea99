"""What a check found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    level: Level
    message: str
    next_step: str = ""
    """what to do; empty if nothing"""
    check: str = ""
    """the name of the check, which `findings` fills in"""


Check = Callable[[], Iterator[Finding]]
"""Yields what it found. May raise CutoutError instead."""


def ok(message: str) -> Finding:
    return Finding(Level.OK, message)


def warning(message: str, next_step: str) -> Finding:
    return Finding(Level.WARNING, message, next_step)


def error(message: str, next_step: str) -> Finding:
    return Finding(Level.ERROR, message, next_step)


def from_error(raised: CutoutError, level: Level = Level.ERROR) -> Finding:
    """Return an error of the product as a finding."""
    return Finding(level, f"{raised.code}: {raised.message}", NEXT_STEP[raised.code])


def from_stalled_reason(reason: str, level: Level = Level.ERROR) -> Finding:
    """Return a batch's reason, `What is wrong: the next step.`, as a finding."""
    what, _, step = reason.partition(": ")
    return Finding(level, f"{what}.", step[:1].upper() + step[1:])


def findings(checks: dict[str, Check]) -> Iterator[Finding]:
    """Yield the findings of each check; a CutoutError is one too, and ends that check alone."""
    for name, check in checks.items():
        for finding in _of_one(check):
            yield replace(finding, check=name)


def _of_one(check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except CutoutError as raised:
        yield from_error(raised)
