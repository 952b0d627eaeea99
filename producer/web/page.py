"""The page's static files, and the answer to every path that no route matches."""

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from fastapi import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"


class Page(StaticFiles):
    """Serves the page; answers 405 if `api_routes` has the path with other methods, else 404."""

    def __init__(self, api_routes: Sequence[Route]) -> None:
        super().__init__(directory=STATIC, html=True)
        self._api_routes = api_routes

    async def get_response(self, path: str, scope: Scope) -> Response:
        if methods := self._methods_at(scope):
            raise HTTPException(
                HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(methods)}
            )
        if "\0" in path or scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = await super().get_response(path, scope)
        # browsers revalidate at every use, and mostly get a short 304
        response.headers["Cache-Control"] = "no-cache"
        return response

    def _methods_at(self, scope: Scope) -> list[str]:
        """Return the methods of the routes that match the path but not the request's method."""
        routes = (route for route in self._api_routes if route.matches(scope)[0] is Match.PARTIAL)
        return sorted({method for route in routes for method in route.methods or ()})
