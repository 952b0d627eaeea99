"""Every Prometheus metric that cutout exports. The reference of metrics is generated from here.

Flower exports its own metrics beside these.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric as it is exported at `/metrics`, of the dispatcher and of Flower."""

    name: str
    labels: tuple[str, ...]
    help: str
    """with the unit, unless the name ends with it"""
    type: Literal["gauge", "counter"] = "gauge"


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
QUEUE_LENGTH = MetricSpec(
    "cutout_queue_length",
    ("queue",),
    "Messages waiting in a queue; 0 also for models that no worker serves",
)
DISPATCHER_RUNNING = MetricSpec(
    "cutout_dispatcher_running", (), "1 if a dispatcher is at work, else 0: no image is queued then"
)
BATCH_IMAGES = MetricSpec(
    "cutout_batch_images",
    ("batch", "status"),
    "Images of an open batch by status: done, skipped, failed, or issued (not settled)",
)
BATCH_TOTAL = MetricSpec("cutout_batch_total", ("batch",), "All images of an open batch")
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

METRICS = (
    WORKER_CLOCK_SKEW,
    WORKER_CHILDREN,
    WORKER_OUT_OF_ROTATION,
    QUEUE_LENGTH,
    DISPATCHER_RUNNING,
    BATCH_IMAGES,
    BATCH_TOTAL,
    BATCH_ETA,
    BATCH_DEADLINE,
    IMAGES_SETTLED,
    MESSAGES_DROPPED,
)
