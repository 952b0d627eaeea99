"""Authentication by API key, authorisation by scope, and the key's rate limit."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header, Request

from contract.counters import counters
from contract.errors import ErrorCode
from contract.metrics import API_RATE_LIMITED
from producer.web import api_keys
from producer.web.api_keys import Key, Scope
from producer.web.context import Context, RequestContext
from producer.web.problems import RequestError

ANONYMOUS = Key("anonymous", frozenset(Scope), "")
"""The key of every request to a server without API keys. It has all scopes."""


def admit(context: Context, key_text: str | None, scope: Scope, request: Request) -> Key:
    """Return the key of a request, counting the request against the key's rate limit.

    `request.state` keeps what is left of it, for the headers of the response.

    Raises RequestError: `invalid_api_key`, `insufficient_scope` or `too_many_requests`.
    """
    key: Key | None = ANONYMOUS
    if context.keys is not None:
        key = api_keys.find(context.keys, key_text) if key_text else None
    if key is None:
        raise RequestError(
            ErrorCode.INVALID_API_KEY, "The request carries no API key, or an unknown one."
        )
    if scope not in key.scopes:
        raise RequestError(
            ErrorCode.INSUFFICIENT_SCOPE, f"The key {key.name!r} does not have the scope `{scope}`."
        )
    limit = context.settings.rate_limit_per_minute
    usage = context.rate_limiter.count(key.name, limit)
    request.state.rate_usage = usage
    if usage.retry_after:
        counters.add(API_RATE_LIMITED)
        raise RequestError(
            ErrorCode.TOO_MANY_REQUESTS,
            f"The key {key.name!r} is limited to {limit} requests per minute.",
            usage.retry_after,
        )
    return key


def bearer_token(authorization: str | None) -> str | None:
    """Return the token of a header `Authorization: Bearer TOKEN`, or None."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def key_with_scope(scope: Scope) -> Callable[..., Key]:
    """Return a dependency that admits only requests whose key has `scope`."""

    def check(
        request: Request,
        context: RequestContext,
        authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
        x_api_key: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Key:
        return admit(context, bearer_token(authorization) or x_api_key, scope, request)

    return check


Submitter = Annotated[Key, Depends(key_with_scope(Scope.SUBMIT))]
Reader = Annotated[Key, Depends(key_with_scope(Scope.READ))]
Admin = Annotated[Key, Depends(key_with_scope(Scope.ADMIN))]
