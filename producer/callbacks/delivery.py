"""Delivers callbacks, by the policy below.

Request    one POST of JSON, at most 15 s, redirects not followed, to https and public addresses
           only (CUTOUT_URL_ALLOWLIST adds others), signed if CUTOUT_WEBHOOK_SECRET is set
Guarantee  at least once; the header `webhook-id` is the same in every attempt, so that a receiver
           can ignore repetitions
2xx        delivered
410        given up at once: the receiver wants no more attempts
the rest   a failed attempt, and so are timeouts, refused addresses and untrusted certificates
Attempts   11 within about a day, then given up: at once, then 5 s, 30 s, 2 min, 10 min, 30 min,
           1 h, 2 h, 4 h, 8 h and 8 h after the previous one; each delay is up to 10 % longer, so
           that callbacks that failed together are not repeated together
Crashes    a process that dies during an attempt has used it up; the next one starts when the
           lease of the first ends

`schedule.py` stores what is due when, `signatures.py` signs.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Protocol

import structlog

from contract.counters import counters
from contract.errors import CutoutError
from contract.ledger.unreadable import log_unreadable
from contract.metrics import CALLBACKS
from contract.safe_http import client
from contract.safe_http.policy import host_of
from contract.settings import settings
from contract.stored import is_newer_release
from producer.callbacks.schedule import CallbackSchedule
from producer.callbacks.signatures import sign

log = structlog.get_logger(__name__)

DELAYS_SECONDS = (0, 5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)
"""Delay before each attempt."""
JITTER = 0.1
"""Largest random extension of a delay, as a share of it."""
LEASE_SECONDS = 60
"""How long an attempt may take, loading the body included, until another process repeats it."""
MAX_CONCURRENT = 8
"""Attempts at a time: receivers that run into the timeout do not delay all others."""
POLL_SECONDS = 0.5
"""Pause before asking again, if no callback is due."""
OTHER_RELEASE_SECONDS = 10
"""Pause after this process could not read the batch or cutout of a callback: a process of the newer
release takes the callback meanwhile."""
REDIS_BACKOFF_SECONDS = 5
"""Pause after Redis did not answer."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What to send, and where to. Kept out of Redis and of logs."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    """JSON"""
    created: float
    """Unix seconds at which the cutout was created, or the batch was closed"""


class Result(StrEnum):
    """The result of one attempt."""

    DELIVERED = "delivered"
    POSTPONED = "postponed"
    GIVEN_UP = "given_up"


class Post(Protocol):
    """Sends a POST and returns the status; see `contract.safe_http.client.post`."""

    def __call__(
        self, url: str, body: bytes, headers: dict[str, str], *, allow: tuple[str, ...]
    ) -> int: ...


Load = Callable[[str], Delivery | None]
"""Returns what to send for a callback ID, or None if there is nothing to send any more."""


def deliver(
    callbacks: CallbackSchedule, callback: str, load: Load, post: Post = client.post
) -> Result:
    """Make one attempt at a callback that `CallbackSchedule.take` returned.

    Raises RetryableError (`redis_unavailable`): another attempt starts when the lease ends.
    """
    attempt = max(callbacks.attempts(callback), 1)
    attempt_log = log.bind(batch=callback, attempt=attempt)
    try:
        delivery = load(callback)
        if delivery is None:
            callbacks.drop(callback)
            attempt_log.info("callback dropped", reason="deleted or reopened")
            return Result.GIVEN_UP
        age = round(time.time() - delivery.created)
        attempt_log = attempt_log.bind(receiver=host_of(delivery.url), age=age)
        status = _post(callback, delivery, post)
    except CutoutError as error:
        if is_newer_release(error):
            log_unreadable(callback.partition(":")[0], error)
            callbacks.give_back(callback, OTHER_RELEASE_SECONDS)
            return Result.POSTPONED
        return _failed(callbacks, callback, attempt, attempt_log.bind(code=error.code.value))
    except Exception as error:
        # no traceback: its lines may show the URL
        return _failed(callbacks, callback, attempt, attempt_log.bind(error=type(error).__name__))
    attempt_log = attempt_log.bind(status=status)
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        callbacks.drop(callback)
        attempt_log.info("callback delivered")
        return Result.DELIVERED
    return _failed(callbacks, callback, attempt, attempt_log, gone=status == HTTPStatus.GONE)


def _post(callback: str, delivery: Delivery, post: Post) -> int:
    config = settings()
    headers = sign(callback, int(time.time()), delivery.body, config.webhook_secret)
    headers["Content-Type"] = "application/json"
    return post(delivery.url, delivery.body, headers, allow=config.url_allowlist)


def _failed(
    callbacks: CallbackSchedule,
    callback: str,
    attempt: int,
    attempt_log: structlog.stdlib.BoundLogger,
    *,
    gone: bool = False,
) -> Result:
    """Postpone a callback, or drop it after the last attempt or if its receiver is gone."""
    if gone or attempt >= len(DELAYS_SECONDS):
        callbacks.drop(callback)
        attempt_log.error("callback given up")
        return Result.GIVEN_UP
    delay = DELAYS_SECONDS[attempt] * random.uniform(1, 1 + JITTER)  # noqa: S311 - spreads load, not security
    callbacks.postpone(callback, delay)
    attempt_log.warning("callback failed", retry_in=round(delay))
    return Result.POSTPONED


def run(
    callbacks: CallbackSchedule, load: Load, stopping: Callable[[], bool], post: Post = client.post
) -> None:
    """Deliver until `stopping` returns True, then finish the running attempts.

    Several processes may run this.
    """
    running: set[Future[None]] = set()
    with ThreadPoolExecutor(MAX_CONCURRENT, "callbacks") as pool:
        while not stopping():
            running = {attempt for attempt in running if not attempt.done()}
            try:
                # no more than start at once, as their leases begin now
                due = callbacks.take(MAX_CONCURRENT - len(running), LEASE_SECONDS)
            except CutoutError as error:
                log.warning("callbacks wait for Redis", reason=str(error))
                _sleep(REDIS_BACKOFF_SECONDS, stopping)
                continue
            running |= {pool.submit(_attempt, callbacks, one, load, post) for one in due}
            if not due:
                _sleep(POLL_SECONDS, stopping)


def _attempt(callbacks: CallbackSchedule, callback: str, load: Load, post: Post) -> None:
    try:
        result = deliver(callbacks, callback, load, post)
    except CutoutError as error:
        log.warning("callback not recorded", batch=callback, code=error.code.value)
    else:
        counters.add(CALLBACKS, result)


def _sleep(seconds: float, stopping: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not stopping() and time.monotonic() < deadline:
        time.sleep(0.1)
