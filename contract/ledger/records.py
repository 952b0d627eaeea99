"""What the ledger hands out, and the limits that both implementations keep."""

from dataclasses import dataclass
from typing import Literal

RECENT_RESULTS = 40
"""Number of attempt results kept per batch, for the circuit breaker and for workers that compare
themselves with others."""
RESULT_OK = "ok"
"""The result of an attempt that no error ended. All other results are error codes."""
RESULT_CRASH = "crash"
"""The result of an attempt that ended its process. Known to its worker only."""
CLOSED_KEPT_SECONDS = 30 * 24 * 3600
"""Seconds for which the counters of a closed batch can be read. The report is kept forever."""
DELETED_KEPT_SECONDS = 24 * 3600
"""Seconds for which the ledger remembers that a cutout was deleted: longer than a worker that still
processes it may take."""
REGISTERING_KEPT_SECONDS = 24 * 3600
"""Seconds until a batch is forgotten whose source nobody lists any more."""
LISTING_LEASE_SECONDS = 30
"""Seconds after which another process may go on with the listing of one that died."""
NAME_KEPT_SECONDS = CLOSED_KEPT_SECONDS
"""Seconds for which a batch's name is remembered. Not longer than any batch that was closed."""
SCRIPT_LINES = 100
"""Lines that one call of a script handles, and rows that one command reads.

Redis serves nobody else meanwhile: 0.2 ms, and ten times as long while it rewrites its append-only
file, as each page of memory that changes is then copied first.
"""
MAX_OUTSTANDING = 100_000
"""Most lines of a batch that are outstanding, unless the dispatcher sets a lower limit."""
WORKER_SILENT_SECONDS = 30
"""Seconds without a new registration after which a worker counts as gone."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to process a line until its lease ends."""

    crash_count: int
    """earlier attempts whose process died"""
    attempt: int
    """number of this attempt, from 1"""
    crash_causes: str
    """what ended those processes, comma-separated, if a worker saw it; else empty"""


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """Why a delivered line must not be processed now."""

    reason: Literal["settled", "held", "stopped", "quarantined"]
    """`settled` already; `held`: being processed elsewhere; `stopped`: the batch is not open;
    `quarantined`: moved to the quarantine queue, because earlier attempts crashed"""


@dataclass(frozen=True, slots=True)
class Issued:
    """Lines to publish."""

    issued_at: float
    """must be sent in the messages' headers: see `Snapshot.oldest_queued`"""
    bulk: list[int]
    quarantine: list[int]
    more: bool
    """whether another call may find further lines at once"""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Unsettled lines that no attempt holds."""

    attempts: dict[int, int]
    """line -> its attempts so far"""
    following: int
    """the line to go on with; at least the batch's total if there are no more"""


@dataclass(frozen=True, slots=True)
class NamedBatch:
    """The batch that was first submitted under a name."""

    digest: str
    """of what was submitted, to recognise something else with the same name"""
    batch: str


@dataclass(frozen=True, slots=True)
class QueueState:
    """What waits in a queue."""

    length: int
    """messages"""
    oldest_seconds: float
    """age of the oldest message; 0 if the queue is empty"""


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker reports about itself every few seconds."""

    name: str
    queue: str
    children: int
    clock_skew: float
    """seconds this machine's clock is ahead of Redis's"""
    out_of_rotation: str = ""
    """why it takes no images at present, in a sentence; else empty"""
