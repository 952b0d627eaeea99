"""What every request leans on, built once a process; and who may do what."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from contract import names
from contract.errors import ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger
from contract.recipe import MODEL_NAMES, Recipe, recipe_for
from contract.settings import Settings
from contract.storage import Store, canonical_location, open_store
from producer.callbacks.schedule import CallbackSchedule
from producer.web import api_keys
from producer.web.api_keys import Key, Scope
from producer.web.events.rules import Rule, load_rules
from producer.web.idempotency_keys import IdempotencyKeys
from producer.web.problems import RequestError
from producer.web.rate_limit import RateLimiter

REDIS_SECONDS = 0.7
"""One try and one more: a request is answered 503 within two seconds."""
ANYBODY = Key("anybody", frozenset(Scope), "")
FULL_SECONDS = 10


@dataclass(frozen=True)
class Backend:
    config: Settings
    ledger: RedisLedger
    keys: list[Key] | None
    """None: everybody may do everything, on loopback"""
    store: str
    """where uploads, and results without a destination, go"""
    rules: Sequence[Rule]

    @property
    def rate_limiter(self) -> RateLimiter:
        return RateLimiter(self.ledger.connection)

    @property
    def idempotency_keys(self) -> IdempotencyKeys:
        return IdempotencyKeys(self.ledger.connection)

    @property
    def callbacks(self) -> CallbackSchedule:
        return CallbackSchedule(self.ledger.connection)

    def open_store(self) -> Store:
        return open_store(self.store)

    def recipe(self, model: str | None) -> Recipe:
        return recipe_for(model or self.config.model)

    def served(self) -> set[str]:
        """Return the models that a worker takes single images for now."""
        queues = {worker.queue for worker in self.ledger.workers.list()}
        return {
            model
            for model in MODEL_NAMES
            if {names.bulk_queue(model), names.interactive_queue(model)} & queues
        }

    def check_room(self, model: str) -> None:
        """Raise RequestError (`queue_full`) where too many single images wait already."""
        waiting = self.ledger.workers.queue_length(names.interactive_queue(model))
        if waiting >= self.config.max_queued:
            raise RequestError(
                ErrorCode.QUEUE_FULL, f"{waiting:,} images wait already.", FULL_SECONDS
            )


def build(config: Settings) -> Backend:
    """Check the settings of the server. Raises PermanentError (`invalid_setting`)."""
    redis_url = config.require_redis_url()
    if config.api_keys is None and not _loopback(config.web_address):
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            "CUTOUT_API_KEYS must be set where CUTOUT_WEB_ADDRESS is not a loopback address.",
        )
    if config.web_store is None:
        raise PermanentError(ErrorCode.INVALID_SETTING, "CUTOUT_WEB_STORE is not set.")
    return Backend(
        config=config,
        ledger=RedisLedger(redis_url, retries=1, timeout=REDIS_SECONDS),
        keys=None if config.api_keys is None else api_keys.load(config.api_keys.expanduser()),
        store=canonical_location(config.web_store),
        rules=load_rules(config.event_rules),
    )


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def backend(request: Request) -> Backend:
    found: Backend = request.app.state.backend
    return found


TheBackend = Annotated[Backend, Depends(backend)]


def admit(backend: Backend, text: str | None, scope: Scope) -> Key:
    """Return the row of a key that may do this now. Raises RequestError: 401, 403 or 429."""
    key: Key | None = ANYBODY
    if backend.keys is not None:
        key = api_keys.find(backend.keys, text) if text else None
    if key is None:
        raise RequestError(ErrorCode.INVALID_API_KEY, "The request has no key of this server.")
    if scope not in key.scopes:
        raise RequestError(
            ErrorCode.INSUFFICIENT_SCOPE, f"The key {key.name!r} has no scope {scope}."
        )
    most = backend.config.rate_limit_per_minute
    if wait := backend.rate_limiter.retry_after(key.name, most):
        raise RequestError(
            ErrorCode.TOO_MANY_REQUESTS, f"{key.name!r} may ask {most} times a minute.", wait
        )
    return key


def allowed(scope: Scope) -> Callable[..., Key]:
    """Return a dependency that lets a request in by its key."""

    def check(
        backend: TheBackend,
        authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
        x_api_key: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Key:
        kind, _, token = (authorization or "").partition(" ")
        return admit(backend, token.strip() if kind.lower() == "bearer" else x_api_key, scope)

    return check


Submitter = Annotated[Key, Depends(allowed(Scope.SUBMIT))]
Reader = Annotated[Key, Depends(allowed(Scope.READ))]
Admin = Annotated[Key, Depends(allowed(Scope.ADMIN))]
