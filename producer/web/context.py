"""What every request needs, built once per process: settings, Redis, store, keys and rules."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.paths import expand
from contract.recipe import MODEL_NAMES, Recipe
from contract.settings import Settings
from contract.storage import Store, canonical_location, open_store
from producer.callbacks.schedule import CallbackSchedule
from producer.recipes.fields import RecipeChoice
from producer.web import api_keys
from producer.web.api_keys import Key
from producer.web.cutouts.records import CutoutRecords
from producer.web.events.rules import Rule, load_rules
from producer.web.idempotency_keys import IdempotencyKeys
from producer.web.problems import RequestError
from producer.web.rate_limit import RateLimiter

REDIS_REPLY_SECONDS = 0.7
"""Seconds to wait for a Redis reply. With one repetition, a request is answered 503 within 2 s."""
QUEUE_FULL_RETRY_SECONDS = 10
"""The Retry-After of a request that is refused because the queue is full."""


@dataclass(frozen=True)
class Context:
    settings: Settings
    ledger: RedisLedger
    keys: list[Key] | None
    """the API keys; None: requests need no key, and the server listens on loopback only"""
    store: str
    """location of the server's own store: uploads, and results without a destination"""
    event_rules: Sequence[Rule]

    @property
    def rate_limiter(self) -> RateLimiter:
        return RateLimiter(self.ledger.connection)

    @property
    def idempotency_keys(self) -> IdempotencyKeys:
        return IdempotencyKeys(self.ledger.connection)

    @property
    def callbacks(self) -> CallbackSchedule:
        return CallbackSchedule(self.ledger.connection)

    @property
    def records(self) -> CutoutRecords:
        return CutoutRecords(self.open_store())

    def open_store(self) -> Store:
        """Open the server's own store."""
        return open_store(self.store)

    def recipe(self, chosen: RecipeChoice) -> Recipe:
        """Return what a request chose; the default model is the server's.

        Raises PermanentError (`model_unknown`).
        """
        return chosen.document.recipe(chosen.model or self.settings.model)

    def models_served(self) -> set[str]:
        """Return the models for which at least one worker is running."""
        queues = {worker.queue for worker in self.ledger.workers.list()}
        return {
            model
            for model in MODEL_NAMES
            if {names.bulk_queue(model), names.interactive_queue(model)} & queues
        }

    def check_queue(self, model: str) -> None:
        """Raise RequestError (`queue_full`) if CUTOUT_MAX_QUEUED cutouts wait for a model."""
        queued = self.ledger.workers.queue_length(names.interactive_queue(model))
        if queued >= self.settings.max_queued:
            raise RequestError(
                ErrorCode.QUEUE_FULL,
                f"{queued:,} images are already waiting for {model}.",
                QUEUE_FULL_RETRY_SECONDS,
            )


def build_context(settings: Settings) -> Context:
    """Check the server's settings and build its context. Raises PermanentError."""
    redis_address = settings.require_redis_address()
    if settings.api_keys is None and not _is_loopback(settings.web_address):
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            "CUTOUT_API_KEYS must be set if CUTOUT_WEB_ADDRESS is not a loopback address.",
        )
    if settings.web_store is None:
        raise PermanentError(ErrorCode.INVALID_SETTING, "CUTOUT_WEB_STORE is not set.")
    return Context(
        settings=settings,
        ledger=RedisLedger(redis_address, retries=1, timeout=REDIS_REPLY_SECONDS),
        keys=None if settings.api_keys is None else api_keys.load(expand(settings.api_keys)),
        store=canonical_location(settings.web_store),
        event_rules=load_rules(settings.event_rules),
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _context_of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


RequestContext = Annotated[Context, Depends(_context_of)]
"""A route's parameter of this type receives the context."""
