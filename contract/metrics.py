"""Every Prometheus metric that cutout exports: the one table of names, types, labels and units.

The reference of metrics is generated from here, and the tests compare every exposed name, every
alert and every panel with it. Flower exports its own metrics beside these.
"""

from dataclasses import dataclass
from typing import Literal

STAGES = ("check", "fetch", "wait", "decode", "matte", "encode", "store")
"""The stages of an attempt, as in the report's column `milliseconds`."""
STAGE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Upper bounds in seconds. A client of a cutout may wait for 60 s."""

LABELS = {
    "batch": ("ID of an open batch, never of a cutout", "100, of the highest priority"),
    "cause": (
        "what ended a worker process: `SIGKILL`, `SIGSEGV`, ..., `exit`, `time_limit`, `unknown`",
        "about 30 signals and 3 words",
    ),
    "child": ("position of a worker process, from 0", "the worker's processes"),
    "code": ("an error code; empty for images that did not fail", "the error codes"),
    "method": ("HTTP method; `other` for one that HTTP does not define", "10"),
    "model": ("the network", "the models"),
    "of": ("`batch` or `cutout`", "2"),
    "operation": ("operation of S3, such as `PutObject`", "about 15"),
    "pipeline": ("version of the image code: the release", "this one, and those of open batches"),
    "queue": ("name of a queue: its kind, model and pipeline", "3 per model and pipeline"),
    "reason": ("why, as one word", "a list in the code"),
    "result": ("`delivered`, `postponed` or `given_up`", "3"),
    "route": (
        "template of the path; `page`: a file of the web page; `other`: not found",
        "the routes of the API",
    ),
    "stage": ("part of an attempt: " + ", ".join(STAGES), str(len(STAGES))),
    "state": ("see the metric", "6"),
    "status": (
        "of an image, or `issued`; of an answer of HTTP or S3, or `error` if none came",
        "4 of images; about 20 of HTTP",
    ),
    "worker": ("name of a worker, as in reports", "the running workers"),
}
"""Label -> (meaning, how many values it can have)."""

Exporter = Literal["cluster", "dispatcher", "worker", "api"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric as it is exported at `/metrics`."""

    name: str
    labels: tuple[str, ...]
    help: str
    """with the unit, unless the name ends with it"""
    type: Literal["gauge", "counter", "histogram"] = "gauge"
    exporters: tuple[Exporter, ...] = ("cluster",)
    """`cluster`: read from Redis by dispatcher and Flower; the others count for themselves"""
    buckets: tuple[float, ...] = ()
    """upper bounds of a histogram, ascending, in seconds"""
    initial: tuple[tuple[str, ...], ...] = ()
    """values of the labels of a counter that is exported as 0 before anything is counted"""


# read from Redis at each scrape

WORKER_CLOCK_SKEW = MetricSpec(
    "cutout_worker_clock_skew_seconds",
    ("worker",),
    "Seconds by which the worker's clock is ahead of Redis's clock",
)
WORKER_CHILDREN = MetricSpec(
    "cutout_worker_children", ("worker", "queue"), "Child processes of a worker"
)
WORKER_OUT_OF_ROTATION = MetricSpec(
    "cutout_worker_out_of_rotation",
    ("worker", "queue"),
    "1 if the worker takes no images because its attempts fail where others succeed, else 0",
)
CLOCK_SKEW = MetricSpec(
    "cutout_clock_skew_seconds",
    (),
    "Seconds by which the clock of the scraped process is ahead of Redis's clock",
)
QUEUE_LENGTH = MetricSpec(
    "cutout_queue_length",
    ("queue",),
    "Messages waiting in a queue; 0 also for models that no worker serves",
)
QUEUE_OLDEST = MetricSpec(
    "cutout_queue_oldest_seconds",
    ("queue",),
    "Age of the oldest message that waits in a queue; 0 if it is empty",
)
UNSETTLED_IMAGES = MetricSpec(
    "cutout_unsettled_images",
    ("model", "pipeline", "state"),
    "Images of open batches and cutouts that are not settled, by state: `held` (their batch is"
    " paused, begins later or is being listed), `waiting` to be queued, `queued`, `processing`,"
    " `deferred` (waiting for a retry), `quarantined`. Their sum is the backlog; 0 also for models"
    " that no worker serves",
)
DISPATCHER_RUNNING = MetricSpec(
    "cutout_dispatcher_running", (), "1 if a dispatcher is at work, else 0: no image is queued then"
)
DISPATCHER_LEADING = MetricSpec(
    "cutout_dispatcher_leading",
    (),
    "1 if this dispatcher is the one at work, 0 if it stands by",
    exporters=("dispatcher",),
)
OPEN_BATCHES = MetricSpec(
    "cutout_open_batches",
    ("state",),
    "Batches that are not closed by state: registering, open, paused, cancelling",
)
BATCH_IMAGES = MetricSpec(
    "cutout_batch_images",
    ("batch", "status"),
    "Images of an open batch by status: done, skipped, failed, or issued (not settled)",
)
BATCH_TOTAL = MetricSpec("cutout_batch_total", ("batch",), "All images of an open batch")
BATCH_REMAINING = MetricSpec(
    "cutout_batch_remaining", ("batch",), "Images of an open batch that are not settled"
)
BATCH_DUPLICATES = MetricSpec(
    "cutout_batch_duplicates",
    ("batch",),
    "Deliveries of images of an open batch that were settled, or being processed elsewhere",
)
BATCH_SPEED = MetricSpec(
    "cutout_batch_images_per_second",
    ("batch",),
    "Present speed of an open batch, as its estimated end assumes; absent while that is unknown",
)
BATCH_ETA = MetricSpec(
    "cutout_batch_eta_timestamp_seconds",
    ("batch",),
    "When an open batch will end at its present speed, in Unix time; absent while that is unknown",
)
BATCH_DEADLINE = MetricSpec(
    "cutout_batch_deadline_timestamp_seconds",
    ("batch",),
    "When an open batch should be finished, in Unix time; absent without a deadline",
)
BATCH_STATE = MetricSpec(
    "cutout_batch_state", ("batch", "state"), "1, labelled with the state of an open batch"
)
BATCH_STALLED = MetricSpec(
    "cutout_batch_stalled",
    ("batch", "reason"),
    "1 while a batch has a stalled reason (see `cutout status`), labelled with its kind: `breaker`,"
    " `paused`, `workers`, `scheduled`, `outranked`, `throttled`, `other`",
)
IMAGES_SETTLED = MetricSpec(
    "cutout_images_settled_total",
    ("status",),
    "Images settled so far, by status, of all batches and cutouts; an image that is retried counts"
    " again. Counted by the ledger, so it is exact at any rate",
    type="counter",
)
MESSAGES_DROPPED = MetricSpec(
    "cutout_messages_dropped_total",
    (),
    "Malformed messages that workers dropped; something else pushes into the queues of this Redis",
    type="counter",
)
CALLBACKS_PENDING = MetricSpec(
    "cutout_callbacks_pending", ("of",), "Callbacks neither delivered nor given up"
)
REDIS_MEMORY = MetricSpec("cutout_redis_memory_bytes", (), "Memory that Redis uses")
REDIS_MEMORY_LIMIT = MetricSpec(
    "cutout_redis_memory_limit_bytes",
    (),
    "Redis's maxmemory; without one, the memory of its machine. Absent if INFO is forbidden",
)
REDIS_CLIENTS = MetricSpec("cutout_redis_clients", (), "Connections to Redis")
REDIS_CLIENTS_LIMIT = MetricSpec("cutout_redis_clients_limit", (), "Redis's maxclients")

# counted by each process for itself, from its start

S3_REQUESTS = MetricSpec(
    "cutout_s3_requests_total",
    ("operation", "status"),
    "Requests to object storage, repeated ones included",
    type="counter",
    exporters=("dispatcher", "worker", "api"),
)
CALLBACKS = MetricSpec(
    "cutout_callbacks_total",
    ("result",),
    "Attempts to deliver callbacks: those of batches by dispatchers, those of cutouts by the API",
    type="counter",
    exporters=("dispatcher", "api"),
    initial=(("delivered",), ("postponed",), ("given_up",)),
)
LINES_REPUBLISHED = MetricSpec(
    "cutout_lines_republished_total",
    (),
    "Images queued again: their message was lost, their worker died, or their retry was due",
    type="counter",
    exporters=("dispatcher",),
    initial=((),),
)
BREAKER_TRIPS = MetricSpec(
    "cutout_breaker_trips_total",
    (),
    "Batches that the circuit breaker paused",
    type="counter",
    exporters=("dispatcher",),
    initial=((),),
)
WORKER_IMAGES = MetricSpec(
    "cutout_worker_images_total",
    ("model", "status", "code"),
    "Images that this worker settled",
    type="counter",
    exporters=("worker",),
)
WORKER_MEGAPIXELS = MetricSpec(
    "cutout_worker_megapixels_total",
    ("model", "status"),
    "Megapixels of the outputs that this worker wrote, all renditions together",
    type="counter",
    exporters=("worker",),
)
WORKER_CPU = MetricSpec(
    "cutout_worker_cpu_seconds_total",
    ("model",),
    "CPU time of the attempts that settled an image",
    type="counter",
    exporters=("worker",),
)
WORKER_DEFERRED = MetricSpec(
    "cutout_worker_deferred_total",
    ("model", "code"),
    "Attempts after which an image waits for a retry",
    type="counter",
    exporters=("worker",),
)
WORKER_REFUSED = MetricSpec(
    "cutout_worker_refused_total",
    ("reason",),
    "Messages whose image was not processed: `settled` before or `held` by another worker"
    " (duplicates), `stopped` batch, `quarantined`",
    type="counter",
    exporters=("worker",),
    initial=(("settled",), ("held",), ("stopped",), ("quarantined",)),
)
WORKER_STAGE = MetricSpec(
    "cutout_worker_stage_seconds",
    ("stage",),
    "Duration of the stages of attempts, of all attempts that reached their end",
    type="histogram",
    exporters=("worker",),
    buckets=STAGE_BUCKETS,
)
WORKER_CRASHES = MetricSpec(
    "cutout_worker_crashes_total",
    ("cause",),
    "Processes of this worker that died while they processed an image",
    type="counter",
    exporters=("worker",),
    initial=(("SIGKILL",), ("SIGSEGV",), ("exit",), ("time_limit",), ("unknown",)),
)
WORKER_IN_FLIGHT = MetricSpec(
    "cutout_worker_in_flight",
    ("queue",),
    "Images that this worker is processing",
    exporters=("worker",),
)
WORKER_READY = MetricSpec(
    "cutout_worker_ready",
    ("queue",),
    "1 if this worker has a loaded model and a connection to Redis, and is in rotation, else 0",
    exporters=("worker",),
)
WORKER_CHILD_MEMORY = MetricSpec(
    "cutout_worker_child_memory_bytes",
    ("child",),
    "Resident memory of a process of this worker",
    exporters=("worker",),
)
API_REQUESTS = MetricSpec(
    "cutout_api_requests_total",
    ("method", "route", "status"),
    "Requests that the API answered",
    type="counter",
    exporters=("api",),
)
API_SECONDS = MetricSpec(
    "cutout_api_request_seconds",
    ("method", "route"),
    "Time from a request's first byte to the end of its answer",
    type="histogram",
    exporters=("api",),
    buckets=REQUEST_BUCKETS,
)
API_RATE_LIMITED = MetricSpec(
    "cutout_api_rate_limited_total",
    (),
    "Requests refused because their key was over its rate limit",
    type="counter",
    exporters=("api",),
    initial=((),),
)
API_REPLAYS = MetricSpec(
    "cutout_api_idempotent_replays_total",
    (),
    "Requests answered with the cutout of an earlier request with the same Idempotency-Key",
    type="counter",
    exporters=("api",),
    initial=((),),
)

METRICS = tuple(one for one in list(globals().values()) if isinstance(one, MetricSpec))
"""In the order of this file."""


def exported_by(exporter: Exporter) -> tuple[MetricSpec, ...]:
    """Return the metrics of one kind of process."""
    return tuple(one for one in METRICS if exporter in one.exporters)
