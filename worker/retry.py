"""How long an image in hand waits for a Redis that is away, full or read-only."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from contract.errors import RetryableError

log = structlog.get_logger(__name__)

WAITING_SHARE = 0.75
"""Of the time limit. Celery's soft limit comes at 0.8."""

T = TypeVar("T")


def deadline_of(time_limit: float) -> float:
    """Return until when an image that begins now may wait; of time.monotonic()."""
    return time.monotonic() + WAITING_SHARE * time_limit


def insist(deadline: float, call: Callable[[], T]) -> T:
    """Ask the ledger, and while it cannot answer, ask again until the deadline.

    An image in hand is worth the wait: given up, it stays claimed until its lease ends, and counts
    as one whose process vanished. Raises RetryableError (`redis_unavailable`).
    """
    waiting = False
    while True:
        try:
            return call()
        except RetryableError as error:
            if time.monotonic() > deadline:
                raise
            if not waiting:
                log.warning("image waits for Redis", why=str(error))
            waiting = True
        time.sleep(random.uniform(0.2, 1))  # noqa: S311 - spreads load, guards nothing
