"""How an image ended: a row of the report."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from contract.errors import ErrorCode


class Status(StrEnum):
    """The terminal states. A line of a manifest reaches exactly one."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


class Outcome(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    line: int
    key: str
    status: Status
    code: ErrorCode | None = None
    message: str = ""
    attempts: int = 1
    milliseconds: dict[str, int] = Field(default_factory=dict, description="by stage")
    width: int | None = None
    height: int | None = None
    foreground: float | None = Field(None, description="mean alpha, 0..1, to about 0.001")
    # of single images alone: rows of batches are what they were, so that releases may be mixed
    subject: tuple[int, int, int, int] | None = Field(
        None,
        description="left, top, right, bottom in the photograph as displayed",
        exclude_if=lambda box: box is None,
    )
    source_etag: str = Field("", description="of the bytes that the output was made of")
    outputs: list[str] = Field(default_factory=list)
