"""What a batch is, and how far it has come."""

from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from contract import names
from contract.cutout import CutoutSpec
from contract.outcome import AttemptResult
from contract.recipe import Recipe
from contract.schedule import IMMEDIATELY, Schedule
from contract.stored import read_stored

State = Literal["registering", "open", "paused", "cancelling", "closed", "failed"]
"""`failed`: it was not registered, as its source could not be listed or it was cancelled meanwhile;
`stalled_reason` says why."""
STATES: tuple[str, ...] = get_args(State)


class Selection(BaseModel):
    """Which photographs of a source a batch includes. By default all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field("", description="the only photograph, if the source is one file")
    manifest: str = Field("", description="location of a list of photographs; `-`: standard input")
    batch: str = Field(
        "",
        description="only the photographs of this batch, whose files are in the same destination",
        exclude_if=lambda batch: not batch,
    )
    include: tuple[str, ...] = Field((), description="globs, one of which a key must match")
    exclude: tuple[str, ...] = Field((), description="globs, none of which a key may match")
    since: float | None = Field(None, description="modified at or after, in Unix seconds")
    limit: int | None = Field(None, gt=0, description="the first so many, in order of their keys")
    sample: int | None = Field(None, gt=0, description="so many, chosen by a digest of their keys")
    only_changed: bool = Field(False, description="no output exists, or an older one")


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
    ignored: int = Field(0, description="listed objects that are not images, or in our folders")
    excluded: int = Field(0, description="listed photographs that are not in the selection")
    linked_folders: tuple[str, ...] = Field(
        (),
        description="the first links to folders, which are not followed; all count as ignored",
        exclude_if=lambda folders: not folders,
    )
    unreadable: int = Field(
        0,
        description="rows of the user's manifest that cannot be read; they are in no line",
        exclude_if=lambda count: not count,
    )
    unreadable_rows: tuple[str, ...] = Field(
        (),
        description="the first of them, such as `line 7: not JSON`",
        exclude_if=lambda rows: not rows,
    )
    selection: Selection = Selection()
    background: bool = Field(False, description="`cutout serve` lists the source, not `submit`")
    segment_lines: int = Field(description="lines in each manifest segment but the last")
    schedule: Schedule = IMMEDIATELY
    has_callback: bool = Field(False, description="`PrivateFields` holds a callback URL")
    segment_writers: tuple[tuple[int, str], ...] = Field(
        (),
        description="(first segment, token) of each process that wrote segments of the manifest:"
        " one that was killed is followed by another",
    )
    cutout: CutoutSpec | None = Field(
        None, description="set for a batch of one: an image that a client waits for"
    )

    @property
    def segments(self) -> int:
        """Number of manifest segments."""
        return -(-self.total // self.segment_lines)

    @property
    def is_in_buckets(self) -> bool:
        """True if the batch reads and writes buckets alone, whose keys are freer than paths."""
        return self.source.startswith("s3://") and self.destination.startswith("s3://")

    def manifest_key(self, segment: int) -> str:
        """Return the key of a manifest segment, below the destination."""
        writers = [writer for first, writer in self.segment_writers if first <= segment]
        return names.manifest_key(self.id, segment, writers[-1] if writers else "")


def stored_spec(batch: str, text: str | bytes) -> BatchSpec:
    """Return the spec of a batch or cutout from JSON. Raises PermanentError (`newer_release`)."""
    kind = "Cutout" if names.is_cutout_id(batch) else "Batch"
    return read_stored(BatchSpec.model_validate_json, text, f"{kind} {batch}")


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
    def expected_end(self) -> float | None:
        """`eta` if the batch is open and makes progress."""
        return self.eta if self.state == "open" and not self.stalled_reason else None

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
