"""Celery's events of tasks, limited to what Flower can count.

Flower counts the events of about 2,000 images per second; above that it loses events and does not
say so. A busy fleet therefore sends the events of a share of its images: all events of an image, or
none. Metrics do not depend on this: they come from the ledger.
"""

from typing import Any
from zlib import crc32

import structlog
from celery import Celery
from celery.events import EventDispatcher

log = structlog.get_logger(__name__)

MAX_IMAGES_PER_SECOND = 1000
"""Images per second, of all workers together, whose events are sent."""
GROWTH_MARGIN = 0.75
"""The share is doubled if even then less than this part of the limit is used."""


class EventShare:
    """The share of this worker's images whose events are sent: 1, 1/2, 1/4, ..."""

    def __init__(self) -> None:
        self.share = 1.0

    def adapt(self, images_per_second: float, workers: int) -> None:
        """Choose the share for this worker's rate. `workers`: number of workers in the fleet."""
        allowed = MAX_IMAGES_PER_SECOND / max(workers, 1)
        share = self.share
        while images_per_second * share > allowed:
            share /= 2
        while share < 1 and images_per_second * share * 2 < GROWTH_MARGIN * allowed:
            share *= 2
        if share != self.share:
            log.info("share of images that Flower sees", share=share)
        self.share = share

    def includes(self, task_id: str) -> bool:
        """Return whether the events of a task are sent: the same for all events and attempts."""
        return crc32(task_id.encode()) < self.share * 2**32


class TaskEvents(EventDispatcher):
    """Leaves out the events of tasks outside the share."""

    event_share: EventShare

    def send(self, type: str, *arguments: Any, **fields: Any) -> Any:  # noqa: A002 - Celery's name
        if type.startswith("task-") and not self.event_share.includes(str(fields.get("uuid"))):
            return None
        return super().send(type, *arguments, **fields)


def limit_events(app: Celery, share: EventShare) -> None:
    """Make the worker of `app` send the events of `share` alone."""
    events: Any = app.events
    events.dispatcher_cls = type("TaskEvents", (TaskEvents,), {"event_share": share})
