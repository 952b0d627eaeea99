"""Every event that cutout logs: the one table of texts, levels and fields.

The reference of logs is generated from here, and the tests compare every call of a logger with it.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["info", "warning", "error", "critical"]
Logger = Literal["image", "worker", "dispatcher", "listing", "api", "callbacks", "any"]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An event as its log line names it."""

    text: str
    """the line's field `event`: stable, so that searches and alerts may rely on it"""
    level: Level
    meaning: str
    """what happened, and what it leads to"""
    fields: tuple[str, ...] = ()
    """fields beside those of every line"""
    also: tuple[Level, ...] = ()
    """further levels, as the meaning says"""


OUTCOME = (
    "status", "code", "message", "attempts", "milliseconds", "cpu_ms", "s3_requests",
    "bytes_read", "foreground", "doubts", "subject", "source_etag", "failed_renditions",
    "matte_from",
)  # fmt: skip
"""Fields of `image settled`: those of the outcome that are not empty."""

IMAGE_FIELDS = ("batch", "line", "key", "attempt")
"""Fields of each line that a worker logs while it processes an image. `attempt`: once the image is
claimed."""

_IMAGE = (
    LogEvent("image settled", "info", "The image reached its terminal state", OUTCOME),
    LogEvent(
        "image deferred",
        "warning",
        "The attempt failed; the image is retried",
        ("reason",),
    ),
    LogEvent(
        "image given up",
        "error",
        "The attempt ended without a result; the image is retried when its lease ends",
        ("reason",),
    ),
    LogEvent(
        "nothing to do",
        "info",
        "The image is settled, held by another worker or in quarantine, or its batch is not open",
        ("reason",),
    ),
    LogEvent(
        "image waits for Redis",
        "warning",
        "A step of it is repeated until Redis answers",
        ("reason",),
    ),
)

_WORKER = (
    LogEvent(
        "message refused",
        "error",
        "The message is no job of any release; it is dropped and counted",
        ("task", "problems"),
    ),
    LogEvent(
        "message dropped",
        "error",
        "The message is malformed; it is dropped and counted",
        ("queue", "reason"),
    ),
    LogEvent("dropped message not counted", "warning", "Redis did not answer", ("reason",)),
    LogEvent(
        "crash recorded",
        "error",
        "A worker process died with an image in its hands, which goes to quarantine",
        ("batch", "line", "key", "cause"),
    ),
    LogEvent(
        "crash not recorded",
        "warning",
        "Redis did not answer; the image is processed again when its lease ends",
        ("batch", "line", "key", "cause", "reason"),
    ),
    LogEvent(
        "model not loaded",
        "critical",
        "The worker ends: no process can cut out images",
        ("reason",),
    ),
    LogEvent("fetching", "info", "Weights are downloaded", ("model", "source")),
    LogEvent(
        "source failed",
        "warning",
        "Weights could not be downloaded from this source; the next one is tried",
        ("model", "source", "reason"),
    ),
    LogEvent(
        "worker is deaf",
        "critical",
        "Messages wait, but none arrives; the worker ends with status 75, to be started again",
        ("queue_length", "free"),
    ),
    LogEvent(
        "worker is stuck",
        "critical",
        "The main loop stands still; the worker ends with status 75, to be started again",
        ("silent_seconds", "stopping", "stack"),
    ),
    LogEvent(
        "worker is stopping",
        "info",
        "It takes no more images, finishes those being processed, and ends",
    ),
    LogEvent("watchdog error", "error", "The watchdog goes on"),
    LogEvent(
        "worker is out of rotation",
        "error",
        "Its attempts fail where other workers succeed; it takes no images for 5 minutes",
        ("reason",),
    ),
    LogEvent(
        "worker is in rotation again",
        "info",
        "It takes images again; `before`: why it did not",
        ("before",),
    ),
    LogEvent(
        "heartbeat not written", "warning", "`cutout health` may call the worker dead", ("reason",)
    ),
    LogEvent(
        "share of images that Flower sees",
        "info",
        "Above 1,000 images per second of the fleet, Flower sees a share of them",
        ("share",),
    ),
)

_DISPATCHER = (
    LogEvent("dispatching", "info", "This dispatcher works"),
    LogEvent("standing by: another dispatches", "info", "It takes over if the other one dies"),
    LogEvent("dispatcher waits", "warning", "Redis does not answer, for example", ("reason",)),
    LogEvent("lease left to expire", "info", "Another dispatcher takes over about 15 s later"),
    LogEvent("dispatcher stopped", "info", "After SIGTERM or Ctrl-C"),
    LogEvent(
        "batch backing off",
        "error",
        "A step of the batch failed; it is repeated after 10 s",
        ("batch", "reason"),
    ),
    LogEvent(
        "cancelled batch discarded",
        "warning",
        "Its files at the destination were deleted: it is closed without a report",
        ("batch",),
    ),
    LogEvent(
        "batch paused by circuit breaker",
        "error",
        "Most recent attempts of the batch hit infrastructure errors",
        ("batch", "reason"),
    ),
    LogEvent(
        "batch slowed down",
        "warning",
        "Storage refuses a share of the attempts; fewer images are processed at a time",
        ("batch", "limit", "errors"),
    ),
    LogEvent("batch at full speed again", "info", "Storage keeps up", ("batch",)),
    LogEvent(
        "lines republished",
        "info",
        "Images whose worker vanished, or that are due for a retry, are queued again",
        ("batch", "lines"),
    ),
    LogEvent(
        "batch closed",
        "info",
        "All its images are settled, and its report is written",
        ("batch", "done", "skipped", "failed"),
    ),
    LogEvent(
        "batch changed while its report was written",
        "info",
        "It stays open, and a new report is written later",
        ("batch",),
    ),
    LogEvent(
        "another dispatcher may write the report",
        "warning",
        "The lease of the report was lost; this dispatcher stops writing it",
        ("batch",),
    ),
    LogEvent(
        "outcomes are missing",
        "error",
        "The report lacks images: they are opened again, and settled by their outputs",
        ("batch", "lines"),
    ),
)

_LISTING = (
    LogEvent("source listed", "info", "The batch is open", ("batch", "images")),
    LogEvent("source not listed", "error", "The batch has failed", ("batch", "reason")),
    LogEvent(
        "continuing an interrupted listing", "info", "Its process died or was stopped", ("batch",)
    ),
    LogEvent("listing stopped", "info", "Another process, or a restart, goes on", ("batch",)),
    LogEvent(
        "listing waits for storage", "warning", "The request is repeated", ("batch", "reason")
    ),
    LogEvent("listing waits for Redis", "warning", "The listing goes on later", ("batch",)),
    LogEvent("listings wait for Redis", "warning", "No listing is begun until then", ("reason",)),
    LogEvent("lease of a listing left to expire", "info", "Another goes on after 30 s", ("batch",)),
    LogEvent(
        "lease of the listing not renewed",
        "error",
        "Another process may go on with it",
        ("batch", "reason"),
    ),
    LogEvent("failure not recorded", "warning", "Redis did not answer", ("batch", "reason")),
    LogEvent(
        "linked folder not followed", "warning", "Its images are left out", ("batch", "folder")
    ),
    LogEvent("unreadable row left out", "warning", "A row of a user's manifest", ("batch", "row")),
)

_API = (
    LogEvent(
        "request",
        "info",
        "A request was answered; `warning` if with 5xx, then with `code` and `reason`. `status` is"
        " 0 if the client went away before. The query is left out: it may hold secrets",
        ("method", "path", "status", "milliseconds", "code", "reason"),
        also=("warning",),
    ),
    LogEvent(
        "event refused",
        "warning",
        "A notification of a bucket led to no cutout",
        ("record", "location", "code", "reason"),
    ),
    LogEvent(
        "cutout record waits",
        "warning",
        "The record of a cutout could not be written or deleted yet",
        ("batch", "reason"),
    ),
    LogEvent(
        "cutout record deleted",
        "error",
        "The cutout cannot be restored: its photograph is missing",
        ("batch", "reason"),
    ),
    LogEvent(
        "cutout restored",
        "warning",
        "Redis had lost it; `ended`: with its result",
        ("batch", "ended"),
    ),
)

_CALLBACK = ("batch", "attempt", "receiver", "age", "code", "error", "status")
_CALLBACKS = (
    LogEvent("callback delivered", "info", "The receiver answered 2xx", _CALLBACK),
    LogEvent(
        "callback failed",
        "warning",
        "It is sent again after `retry_in` seconds",
        (*_CALLBACK, "retry_in"),
    ),
    LogEvent("callback given up", "error", "After the last attempt, or 410", _CALLBACK),
    LogEvent(
        "callback dropped", "info", "The batch or cutout is gone", ("batch", "attempt", "reason")
    ),
    LogEvent(
        "callback not recorded",
        "warning",
        "Redis did not answer after an attempt, so the callback may be sent twice",
        ("batch", "code"),
    ),
    LogEvent("callbacks wait for Redis", "warning", "None is sent until then", ("reason",)),
)

_ANY = (
    LogEvent(
        "unexpected error",
        "error",
        "A bug, with its traceback; please report it",
        ("batch", "fault"),
    ),
    LogEvent(
        "batch of a newer release left alone",
        "warning",
        "This process cannot read a batch or cutout, or a file of it; a process of the newer"
        " release goes on with it. Each is logged once per process",
        ("batch", "reason"),
    ),
    LogEvent("serving metrics", "info", "At CUTOUT_METRICS_PORT", ("address", "port")),
    LogEvent(
        "traces not sent", "warning", "The collector does not take them; images are unaffected"
    ),
    LogEvent("traces are off", "error", "OpenTelemetry refuses one of its variables", ("reason",)),
    LogEvent("traces are sent again", "info", "The collector takes them"),
    LogEvent("Redis should be changed", "warning", "A setting of Redis risks batches", ("reason",)),
    LogEvent("Redis not checked", "warning", "Redis did not answer", ("reason",)),
    LogEvent("clock not checked", "warning", "Redis did not answer", ("reason",)),
    LogEvent(
        "shared settings differ",
        "error",
        "Another process runs with other time limits, so images may run twice",
        ("reason",),
    ),
    LogEvent("shared settings not checked", "warning", "Redis did not answer", ("reason",)),
    LogEvent(
        "Flower asks for no password",
        "info",
        "Everyone who reaches its port sees the names of all photographs",
        ("address",),
    ),
)

EVENTS: dict[Logger, tuple[LogEvent, ...]] = {
    "image": _IMAGE,
    "worker": _WORKER,
    "dispatcher": _DISPATCHER,
    "listing": _LISTING,
    "api": _API,
    "callbacks": _CALLBACKS,
    "any": _ANY,
}
"""What logs them -> its events."""
