"""The outcome of an image: a row of the report. And the result of a single attempt."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ErrorCode
from contract.stored import read_stored


class Status(StrEnum):
    """The terminal states. Every image reaches exactly one."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt at an image of a batch ended."""

    code: str
    """an error code, or `ok`"""
    worker: str = ""
    """the worker's name, if known"""
    time: int = 0
    """Unix seconds by the ledger's clock"""


class Output(BaseModel):
    """An output of an image that was written, or was current already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(description="in the destination")
    name: str = Field("", description="of its rendition; empty if the recipe has only one")
    width: int | None = Field(None, description="pixels; None if an earlier attempt wrote it")
    height: int | None = Field(None, description="pixels; None if an earlier attempt wrote it")
    bytes: int = Field(0, description="size of the file; 0 if an earlier attempt wrote it")
    preset: str = Field("", description="the preset that the file was found to fulfil, if any")
    review: ErrorCode | None = Field(
        None, description="why it lies below `_review/`: a doubt, or `preset_failed`"
    )


class FailedRendition(BaseModel):
    """A rendition that could not be made, while others of the image were."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    code: ErrorCode
    message: str = ""


class Outcome(BaseModel):
    """How an image ended, and its outputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: int = Field(description="the image's line number in the manifest, from 0")
    key: str = Field(description="the photograph's key in the source")
    status: Status
    code: ErrorCode | None = Field(None, description="why it failed; None unless it failed")
    message: str = Field("", description="the failure as a sentence")
    attempts: int = Field(1, description="attempts that ran, crashed ones included")
    worker: str = Field("", description="the worker that made the last attempt: queue-PID@host")
    milliseconds: dict[str, int] = Field(default_factory=dict, description="duration of each stage")
    cpu_ms: int = Field(0, description="CPU time of the attempt that settled it")
    s3_requests: int = Field(0, description="requests of that attempt, repeated ones included")
    bytes_read: int = Field(
        0, description="size of the photograph, its background image and its kept matte, if read"
    )
    matte_from: Literal["", "kept", "transparency", "white"] = Field(
        "",
        description="what the matte is, if not the network's: `kept` by an earlier batch, or of a"
        " photograph that was only framed its own `transparency`, or what is not `white`",
    )
    foreground: float | None = Field(None, description="mean alpha, 0..1, to about 0.001")
    doubts: list[ErrorCode] = Field(
        default_factory=list,
        description="why the output may be wrong: `ambiguous_subject`, `subject_cut_by_frame`, or,"
        " if the recipe delivers it, `no_subject`",
    )
    # only of cutouts, and left out if None, so that older releases can read rows of batches
    subject: tuple[int, int, int, int] | None = Field(
        None,
        description="the subject's box: left, top, right, bottom in pixels of the photograph as"
        " displayed",
        exclude_if=lambda box: box is None,
    )
    source_etag: str = Field(
        "",
        description="ETag of the photograph that was processed, if it is not that of the manifest",
    )
    outputs: list[Output] = Field(
        default_factory=list,
        description="in the order of the recipe's renditions; of a failed image those that exist"
        " all the same",
    )
    failed_renditions: list[FailedRendition] = Field(
        default_factory=list, description="if the recipe has several"
    )

    @property
    def bytes_written(self) -> int:
        """Size of the outputs that the last attempt wrote, together."""
        return sum(output.bytes for output in self.outputs)

    @property
    def width(self) -> int | None:
        """Of the first output, in pixels; None if it is not known."""
        return self.outputs[0].width if self.outputs else None

    @property
    def height(self) -> int | None:
        """Of the first output, in pixels; None if it is not known."""
        return self.outputs[0].height if self.outputs else None


def stored_outcome(batch: str, text: str | bytes) -> Outcome:
    """Return an outcome of a batch or cutout from JSON. Raises PermanentError (`newer_release`)."""
    return read_stored(Outcome.model_validate_json, text, f"An outcome of {batch}")


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """An outcome as the ledger stores it until it is drained."""

    id: str
    """`MILLISECONDS-NUMBER`, another for each row of a batch. By Redis' clock, which may go back"""
    epoch: int
    """the batch's epoch when the line was settled"""
    json: str
    """the outcome without default values"""
