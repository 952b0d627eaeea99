"""What every source yields: pages, each of which covers an interval of the source."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from contract.storage import ObjectInfo

Position = str | int
"""A place in a source: a key of a listing, or a number of rows of a manifest."""
Interval = tuple[Position, Position | None]
"""What lies behind the first position, up to and with the second; None: to the end."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a source, and the interval in which no others are."""

    items: list[ObjectInfo]
    interval: Interval
    linked_folders: tuple[str, ...] = ()
    """links to folders, which are not followed"""
    unreadable_rows: tuple[str, ...] = ()
    """rows of a manifest that name no object, and why: such as `line 7: not JSON`"""


class Covered:
    """The intervals of a source that were listed, in whatever order."""

    def __init__(self, first: Position, intervals: Iterable[Interval] = ()) -> None:
        """`first`: the position before the first object, "" or 0."""
        self._first = first
        self._ends = dict(intervals)
        """start -> end"""

    def add(self, interval: Interval) -> None:
        start, end = interval
        for known, known_end in self._ends.items():
            if known_end == start:
                start = known
                break
        self._ends[start] = end
        if end is not None and end in self._ends:
            self._ends[start] = self._ends.pop(end)

    @property
    def intervals(self) -> list[Interval]:
        return sorted(self._ends.items())

    def gaps(self) -> list[Interval]:
        """Return what was not listed yet, in order."""
        gaps: list[Interval] = []
        position = self._first
        for start, end in self.intervals:
            if start != position:
                gaps.append((position, start))
            if end is None:
                return gaps
            position = end
        return [*gaps, (position, None)]


class Source(Protocol):
    """Where a batch's photographs are listed."""

    @property
    def first(self) -> Position:
        """The position before the first object, "" or 0."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes if positions of an earlier listing mean nothing any more. Else constant."""
        ...

    def pages(self, gaps: list[Interval]) -> Iterator[Page]:
        """Yield what lies in some intervals.

        Raises PermanentError (`access_denied`, `object_missing`, `invalid_manifest`, ...),
        RetryableError if storage does not come back, or StoppedError.
        """
        ...
