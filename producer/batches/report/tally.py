"""Counts the rows of a report, and notes which lines have none."""

from collections.abc import Iterable, Iterator

from contract.line_bits import lines_without_bit, no_bits, set_bit
from contract.outcome import Outcome, Status


class Tally:
    """Which lines of a batch have a row in its report, and how many by status."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.seen = no_bits(total)
        self.counts = dict.fromkeys(Status, 0)

    def watch(self, rows: Iterable[Outcome]) -> Iterator[Outcome]:
        """Yield the rows (each line once) and count them."""
        for row in rows:
            set_bit(self.seen, row.line)
            self.counts[row.status] += 1
            yield row

    @property
    def missing_count(self) -> int:
        return self._total - sum(self.counts.values())

    @property
    def complete(self) -> bool:
        return self.missing_count == 0

    def missing(self) -> Iterator[int]:
        """Yield the lines without a row."""
        return lines_without_bit(self.seen, self._total)
