"""What a batch used: CPU time, requests, bytes, and what that costs.

Only the attempt that settled an image counts; what its earlier ones used is not recorded.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contract.outcome import Outcome, Status

SECONDS_PER_HOUR = 3600


@dataclass
class Usage:
    """Sums over the images of a batch."""

    done: int = 0
    """images whose output was written"""
    cpu_milliseconds: int = 0
    s3_requests: int = 0
    """repeated ones included"""
    bytes_read: int = 0
    bytes_written: int = 0

    def add(self, outcome: Outcome) -> None:
        self.done += outcome.status is Status.DONE
        self.cpu_milliseconds += outcome.cpu_ms
        self.s3_requests += outcome.s3_requests
        self.bytes_read += outcome.bytes_read
        self.bytes_written += outcome.bytes_written

    @property
    def cpu_seconds(self) -> float:
        return self.cpu_milliseconds / 1000

    def cost_per_1000_images(self, price_per_core_hour: float) -> float | None:
        """Return the price of the CPU time per 1,000 outputs, or None if there is no output.

        In the price's currency. Images that were skipped or failed are paid for by the others.
        """
        if not self.done:
            return None
        return self.cpu_seconds / SECONDS_PER_HOUR * price_per_core_hour / self.done * 1000

    def as_json(self, price_per_core_hour: float | None) -> dict[str, object]:
        """Return the fields that `cutout report --summary --json` adds to a batch's state."""
        fields: dict[str, object] = {
            "cpu_seconds": self.cpu_seconds,
            "s3_requests": self.s3_requests,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
        }
        if price_per_core_hour is not None:
            fields["price_per_core_hour"] = price_per_core_hour
            fields["cost_per_1000_images"] = self.cost_per_1000_images(price_per_core_hour)
        return fields


def usage(outcomes: Iterable[Outcome]) -> Usage:
    """Return the sums over outcomes, each line once."""
    total = Usage()
    for outcome in outcomes:
        total.add(outcome)
    return total
