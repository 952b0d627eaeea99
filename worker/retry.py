"""The retry policy: how long an image waits for Redis, when and how often it is retried."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from contract.errors import RetryableError
from contract.settings import Settings

log = structlog.get_logger(__name__)

REDIS_WAIT_SHARE = 0.75
"""Share of the time limit that an image may spend waiting for Redis. The soft limit is at 0.8."""
REDIS_POLL_SECONDS = (0.2, 1.0)
"""Bounds of the random pause between two calls while Redis is away."""

T = TypeVar("T")


def deadline_in(time_limit: float) -> float:
    """Return until when an image that starts now may wait for Redis, by `time.monotonic`."""
    return time.monotonic() + REDIS_WAIT_SHARE * time_limit


def retry_until(deadline: float, call: Callable[[], T]) -> T:
    """Call the ledger, and repeat the call until the deadline while Redis is away.

    Giving up would leave the line claimed until its lease ends, and count as a crash. Raises
    RetryableError (`redis_unavailable`) after the deadline.
    """
    waiting = False
    while True:
        try:
            return call()
        except RetryableError as error:
            if time.monotonic() > deadline:
                raise
            if not waiting:
                log.warning("image waits for Redis", reason=str(error))
            waiting = True
        time.sleep(random.uniform(*REDIS_POLL_SECONDS))  # noqa: S311 - spreads load, not security


def retry_delay(retries: int, config: Settings) -> float | None:
    """Return the seconds until the next attempt after `retries` retries, or None if none is left.

    Exponential backoff with full jitter: a random share of a delay that doubles each time, at most
    half the visibility timeout.
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    if retries >= config.retry_budget:
        return None
    longest = min(config.retry_delay * 2**retries, config.visibility_timeout / 2)
    return random.uniform(0, longest)  # noqa: S311 - spreads load, not security
