"""What a batch is, and how far it has come."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.cutout import CutoutSpec
from contract.outcome import AttemptResult
from contract.recipe import Recipe
from contract.schedule import IMMEDIATELY, Schedule

State = Literal["registering", "open", "paused", "cancelling", "closed"]


class BatchSpec(BaseModel):
    """The properties of a batch. After its registration, only its schedule changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    source: str = Field(description="the URI of the source store")
    destination: str = Field(description="the URI of the destination store")
    recipe: Recipe
    force: bool = Field(False, description="process images even if their output is current")
    created: float = Field(description="Unix seconds")
    total: int = Field(description="images in the manifest")
    ignored: int = Field(0, description="listed objects that are not images")
    segment_lines: int = Field(description="lines in each manifest segment but the last")
    schedule: Schedule = IMMEDIATELY
    has_callback: bool = Field(False, description="`PrivateFields` holds a callback URL")
    cutout: CutoutSpec | None = Field(
        None, description="set for a batch of one: an image that a client waits for"
    )

    @property
    def segments(self) -> int:
        """Number of manifest segments."""
        return -(-self.total // self.segment_lines)


@dataclass(frozen=True, slots=True)
class Progress:
    """The counters of a batch at one moment."""

    spec: BatchSpec
    state: State
    done: int
    skipped: int
    failed: int
    issued: int
    """unsettled lines that are queued, being processed, or waiting for a retry"""
    quarantined: int
    """lines queued for the quarantine worker"""
    claimed: int
    """lines being processed"""
    deferred: int
    """lines that wait for a retry"""
    duplicates: int
    """deliveries of lines that were already settled or being processed elsewhere"""
    epoch: int
    """raised whenever settled lines are reopened"""
    closed: float | None
    """Unix seconds; None while the batch is not closed"""
    stalled_reason: str
    """why the batch makes no progress, if known; else empty"""
    retry_at: float | None
    """Unix seconds at which the dispatcher resumes a paused batch; None: an operator must"""

    eta: float | None
    """Unix seconds at which the batch will end at its present speed; None while that is unknown"""

    @property
    def late(self) -> bool:
        """True if the batch ended after its deadline, or is expected to."""
        deadline, end = self.spec.schedule.deadline, self.closed or self.eta
        return deadline is not None and end is not None and end > deadline.timestamp()

    @property
    def settled(self) -> int:
        """Number of lines in a terminal state."""
        return self.done + self.skipped + self.failed

    @property
    def active(self) -> int:
        """Number of lines in the batch's main queue or being processed."""
        return self.issued - self.quarantined - self.deferred


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the dispatcher needs to know about a batch, read in one round trip."""

    progress: Progress
    recent_results: list[AttemptResult]
    """results of the latest attempts, newest first"""
    undrained: int
    """outcome rows not yet moved to object storage"""
    all_issued: bool
    """True if the cursor has passed the last line"""
    storage_errors: int
    """attempts so far that failed with `storage_unavailable`, and were deferred"""
    something_due: bool
    """True if a lease has expired, a retry is due, or a queued line is overdue"""
    oldest_queued: tuple[str, str]
    """when the next message of the batch's main queue and of its quarantine queue was issued (Unix
    seconds, as text); empty if the queue is empty"""
