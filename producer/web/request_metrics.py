"""Counts requests by method, route and status. The route's template keeps the series few."""

from http import HTTPMethod, HTTPStatus

from starlette.types import Scope

from contract.counters import counters
from contract.metrics import API_REQUESTS, API_SECONDS

METHODS = frozenset(HTTPMethod)


def count_request(scope: Scope, status: int, seconds: float) -> None:
    """Count a request that was answered. `status`: 0 if its client went away before."""
    method = scope["method"] if scope["method"] in METHODS else "other"
    route = route_of(scope, status)
    counters.add(API_REQUESTS, method, route, str(status))
    counters.observe(API_SECONDS, seconds, method, route)


def route_of(scope: Scope, status: int) -> str:
    """Return the template of the path, such as `/v1/cutouts/{cutout_id}`; `page` or `other`.

    Whatever is no route of the API is answered by the page: with one of its files, or not found.
    """
    path = getattr(scope.get("route"), "path", "")
    if path:
        return str(path)
    return "page" if 0 < status < HTTPStatus.BAD_REQUEST else "other"
