"""Everything that can go wrong, by a stable code, with the next step for the person who reads it.

Two kinds are told apart by who should act: a `RetryableError` is tried again by the queue, a
`PermanentError` is final for that image (or that command). The third kind, a process that
vanished, cannot raise; the ledger counts it (see `contract/ledger/batches.py`).
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    # one image: its content
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED_IMAGE = "truncated_image"
    CORRUPT_IMAGE = "corrupt_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_BYTES = "too_many_bytes"
    NO_SUBJECT = "no_subject"
    # one image: where it lies
    UNSAFE_KEY = "unsafe_key"
    DUPLICATE_DESTINATION = "duplicate_destination"
    OBJECT_MISSING = "object_missing"
    ACCESS_DENIED = "access_denied"
    URL_REFUSED = "url_refused"
    URL_FAILED = "url_failed"
    # one image: tried again, then `exhausted`
    STORAGE_UNAVAILABLE = "storage_unavailable"
    URL_UNAVAILABLE = "url_unavailable"
    REDIS_UNAVAILABLE = "redis_unavailable"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    INTERNAL_ERROR = "internal_error"
    EXHAUSTED = "exhausted"
    POISONED = "poisoned"
    CANCELLED = "cancelled"
    # a command
    INVALID_LOCATION = "invalid_location"
    INVALID_SETTING = "invalid_setting"
    OVERLAPPING_LOCATIONS = "overlapping_locations"
    NOTHING_TO_DO = "nothing_to_do"
    ALREADY_RUNNING = "already_running"
    BATCH_UNKNOWN = "batch_unknown"
    BATCH_EXISTS = "batch_exists"
    BATCH_CONFLICT = "batch_conflict"
    BATCH_PAUSED = "batch_paused"
    MODEL_UNKNOWN = "model_unknown"
    MODEL_MISSING = "model_missing"
    MODEL_MISMATCH = "model_mismatch"
    STACK_FAILED = "stack_failed"
    WORKER_UNHEALTHY = "worker_unhealthy"
    CLOCK_SKEW = "clock_skew"
    # a request
    INVALID_REQUEST = "invalid_request"
    REQUEST_TIMEOUT = "request_timeout"
    NOT_FOUND = "not_found"
    INVALID_API_KEY = "invalid_api_key"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    TOO_MANY_REQUESTS = "too_many_requests"
    QUEUE_FULL = "queue_full"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    NOT_READY = "not_ready"
    SIGNATURE_REFUSED = "signature_refused"
    INVALID_EVENT = "invalid_event"


NEXT_STEP: dict[ErrorCode, str] = {
    ErrorCode.EMPTY_FILE: "Upload the photograph again.",
    ErrorCode.NOT_AN_IMAGE: "Replace the file or take it out of the source.",
    ErrorCode.UNSUPPORTED_FORMAT: "Convert it to JPEG, PNG, WebP, TIFF, BMP or GIF.",
    ErrorCode.TRUNCATED_IMAGE: "Upload the photograph again, whole.",
    ErrorCode.CORRUPT_IMAGE: "Export the photograph again.",
    ErrorCode.TOO_MANY_PIXELS: "Shrink it, or raise CUTOUT_MAX_PIXELS on machines with the memory.",
    ErrorCode.TOO_MANY_BYTES: "Shrink it, or raise CUTOUT_MAX_BYTES on machines with the memory.",
    ErrorCode.NO_SUBJECT: "Look at the photograph, or ask for no crop, scale or position.",
    ErrorCode.UNSAFE_KEY: "Rename the object.",
    ErrorCode.DUPLICATE_DESTINATION: "Rename one of the two.",
    ErrorCode.OBJECT_MISSING: "Check that nothing deletes objects while the batch runs.",
    ErrorCode.ACCESS_DENIED: "Allow the worker to read the source and to write the destination.",
    ErrorCode.URL_REFUSED: "Give s3:// or public https, or name the host in CUTOUT_URL_ALLOWLIST.",
    ErrorCode.URL_FAILED: "Check the URL, and what its server answers there.",
    ErrorCode.URL_UNAVAILABLE: "Check that the host answers, and its limits.",
    ErrorCode.STORAGE_UNAVAILABLE: "Check the storage endpoint and its limits.",
    ErrorCode.REDIS_UNAVAILABLE: "Check CUTOUT_REDIS_URL and that Redis answers there.",
    ErrorCode.OUT_OF_MEMORY: "Run fewer workers on the machine, or lower CUTOUT_MAX_PIXELS.",
    ErrorCode.TIME_LIMIT: "Raise CUTOUT_TIME_LIMIT, or lower CUTOUT_MAX_PIXELS.",
    ErrorCode.INTERNAL_ERROR: "This is a fault of ours: please report it with the worker's log.",
    ErrorCode.EXHAUSTED: "Mend the cause, then `cutout retry`, or run the batch again.",
    ErrorCode.POISONED: "The image ended its process each time: look at it before another run.",
    ErrorCode.CANCELLED: "`cutout retry` opens it again.",
    ErrorCode.INVALID_LOCATION: "Give a folder or s3://bucket/prefix.",
    ErrorCode.INVALID_SETTING: "Set or correct the environment variable.",
    ErrorCode.OVERLAPPING_LOCATIONS: "Choose a destination outside the source, or below it.",
    ErrorCode.NOTHING_TO_DO: "Check the path; see `cutout run --help` for the formats.",
    ErrorCode.ALREADY_RUNNING: "Wait for it, or stop it with Ctrl-C in its terminal.",
    ErrorCode.BATCH_UNKNOWN: (
        "List the batches with `cutout status`; where Redis lost its data, `cutout rebuild ID DST`."
    ),
    ErrorCode.BATCH_EXISTS: "Nothing needs to be rebuilt.",
    ErrorCode.BATCH_CONFLICT: "See `cutout status`.",
    ErrorCode.BATCH_PAUSED: "Mend the cause, then `cutout resume`, or the same `cutout run` again.",
    ErrorCode.MODEL_UNKNOWN: "List the models with `cutout models list` or GET /v1/models.",
    ErrorCode.MODEL_MISSING: "Point CUTOUT_MODEL_SOURCE at the file, or reach one of its sources.",
    ErrorCode.MODEL_MISMATCH: "Delete the file, or get the official one.",
    ErrorCode.STACK_FAILED: "Read the log named above.",
    ErrorCode.WORKER_UNHEALTHY: "Look into the worker's log; start it again if it does not mend.",
    ErrorCode.CLOCK_SKEW: "Set the clock by NTP.",
    ErrorCode.INVALID_REQUEST: "Correct the request; /openapi.json describes it.",
    ErrorCode.REQUEST_TIMEOUT: "Send the body faster, or upload to the bucket and name the object.",
    ErrorCode.NOT_FOUND: "Check the address; singles are kept for 7 days.",
    ErrorCode.INVALID_API_KEY: (
        "Send `Authorization: Bearer KEY`; one made since `cutout serve` started, after a restart."
    ),
    ErrorCode.INSUFFICIENT_SCOPE: "Ask for a key with that scope.",
    ErrorCode.TOO_MANY_REQUESTS: "Wait as long as Retry-After says.",
    ErrorCode.QUEUE_FULL: "Wait as long as Retry-After says, or start more workers.",
    ErrorCode.IDEMPOTENCY_CONFLICT: "Use another Idempotency-Key for another request.",
    ErrorCode.NOT_READY: "Ask again; `status` says how far it is.",
    ErrorCode.SIGNATURE_REFUSED: "Check the secret or topic both sides use, and their clocks.",
    ErrorCode.INVALID_EVENT: "Forward the notification of S3, MinIO or EventBridge as it is.",
}


INFRASTRUCTURE_CODES = frozenset(
    {
        ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.ACCESS_DENIED, ErrorCode.OBJECT_MISSING,
        ErrorCode.OUT_OF_MEMORY, ErrorCode.TIME_LIMIT, ErrorCode.INTERNAL_ERROR,
        ErrorCode.URL_UNAVAILABLE,
    }
)  # fmt: skip
"""Infrastructure errors: if nearly all recent attempts fail with one, the batch pauses."""


class CutoutError(Exception):
    """A sentence for a person, under a stable code."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message)  # both, so that it survives pickling between processes
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message} {NEXT_STEP[self.code]}"


class RetryableError(CutoutError):
    """May well succeed when tried again: storage, network, memory, time."""


class PermanentError(CutoutError):
    """The same input will fail the same way."""
