"""Delivers callbacks: signed, at least once, or given up after eleven attempts in a day.

An attempt is one POST of at most 15 s, never redirected, signed by `signatures.py`. Its id
stays the same at every attempt: a receiver knows a repeated one by it.

    2xx      delivered
    410      given up at once: the receiver wants no more of it
    others   a failure, 3xx too: tried again, as are timeouts, refused addresses and certificates

Attempts: at once, then 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h and 8 h after the one
before, up to a tenth more so that what failed together does not return together. A process that
vanishes in an attempt has used it up; the next comes when its lease ends.
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

from contract.errors import CutoutError
from contract.safe_http import client
from contract.safe_http.policy import host_of
from contract.settings import settings
from producer.callbacks.schedule import CallbackSchedule
from producer.callbacks.signatures import sign

log = structlog.get_logger(__name__)

WAITS = (0, 5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)
"""Seconds before each attempt."""
JITTER = 0.1
LEASE_SECONDS = 60
"""An attempt ends within 15 s; the rest is for loading what it says."""
THREADS = 8
"""Attempts at a time: one receiver that lets each run into its limit does not stop the others."""
IDLE_SECONDS = 0.5
REST_SECONDS = 5
"""How long Redis is left alone where it does not answer."""


@dataclass(frozen=True, slots=True)
class Delivery:
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    """JSON"""
    created: float
    """unix seconds: when there was something to say"""


class Ending(StrEnum):
    DELIVERED = "delivered"
    POSTPONED = "postponed"
    GIVEN_UP = "given up"


class Post(Protocol):
    def __call__(
        self, url: str, body: bytes, headers: dict[str, str], *, allow: tuple[str, ...]
    ) -> int: ...


Load = Callable[[str], Delivery | None]


def deliver(
    callbacks: CallbackSchedule, callback: str, load: Load, post: Post = client.post
) -> Ending:
    """Make one attempt at a callback that was taken.

    `load` returns what it says, or None where there is nothing to say any more. Raises
    RetryableError (`redis_unavailable`): the lease ends then, and another attempt comes.
    """
    attempt = max(callbacks.attempts(callback), 1)
    said = log.bind(callback=callback, attempt=attempt)
    try:
        delivery = load(callback)
        if delivery is None:
            callbacks.drop(callback)
            said.info("callback has nothing to say")
            return Ending.GIVEN_UP
        said = said.bind(host=host_of(delivery.url), age=round(time.time() - delivery.created))
        status = _post(callback, delivery, post)
    except CutoutError as error:
        return _failed(callbacks, callback, attempt, said.bind(code=error.code.value))
    except Exception as error:
        # no traceback: its lines may show the URL
        return _failed(callbacks, callback, attempt, said.bind(fault=type(error).__name__))
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        callbacks.drop(callback)
        said.info("callback delivered", status=status)
        return Ending.DELIVERED
    return _failed(
        callbacks, callback, attempt, said.bind(status=status), gone=status == HTTPStatus.GONE
    )


def _post(callback: str, delivery: Delivery, post: Post) -> int:
    config = settings()
    headers = sign(callback, int(time.time()), delivery.body, config.webhook_secret)
    headers["Content-Type"] = "application/json"
    return post(delivery.url, delivery.body, headers, allow=config.url_allowlist)


def _failed(
    callbacks: CallbackSchedule,
    callback: str,
    attempt: int,
    said: structlog.stdlib.BoundLogger,
    *,
    gone: bool = False,
) -> Ending:
    if gone or attempt >= len(WAITS):
        callbacks.drop(callback)
        said.error("callback given up")
        return Ending.GIVEN_UP
    delay = WAITS[attempt] * random.uniform(1, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
    callbacks.postpone(callback, delay)
    said.warning("callback failed", again_in=round(delay))
    return Ending.POSTPONED


def run(
    callbacks: CallbackSchedule, load: Load, stopping: Callable[[], bool], post: Post = client.post
) -> None:
    """Deliver until told to stop; returns when the attempts in hand are over. Several may run."""
    in_hand: set[Future[None]] = set()
    with ThreadPoolExecutor(THREADS, "callbacks") as pool:
        while not stopping():
            in_hand = {attempt for attempt in in_hand if not attempt.done()}
            try:
                # no more than can be begun at once: the lease runs from here on
                taken = callbacks.take(THREADS - len(in_hand), LEASE_SECONDS)
            except CutoutError as error:
                log.warning("callbacks wait", why=str(error))
                _rest(REST_SECONDS, stopping)
                continue
            in_hand |= {pool.submit(_attempt, callbacks, one, load, post) for one in taken}
            if not taken:
                _rest(IDLE_SECONDS, stopping)


def _attempt(callbacks: CallbackSchedule, callback: str, load: Load, post: Post) -> None:
    try:
        deliver(callbacks, callback, load, post)
    except CutoutError as error:
        log.warning("callback left to its lease", callback=callback, code=error.code.value)


def _rest(seconds: float, stopping: Callable[[], bool]) -> None:
    ends = time.monotonic() + seconds
    while not stopping() and time.monotonic() < ends:
        time.sleep(0.1)
