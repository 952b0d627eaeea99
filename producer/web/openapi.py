"""The API's routes as one FastAPI app, and its OpenAPI document."""

from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from producer.batches.resource import Batch
from producer.web import models
from producer.web.batches import downloads
from producer.web.batches import routes as batches
from producer.web.cutouts import request
from producer.web.cutouts import routes as cutouts
from producer.web.cutouts.resource import Cutout
from producer.web.events import routes as events
from producer.web.problems import MEDIA_TYPE
from producer.web.removebg import routes as removebg

ROUTERS = (
    cutouts.router, batches.router, downloads.router, events.router, models.router, removebg.router,
)  # fmt: skip
API_ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, Route)]

DESCRIPTION = """\
Cuts the subject out of photographs: one image at a time (**cutouts**) or whole catalogues in object
storage (**batches**).

* Every request needs an API key with the scope that the operation names (`submit`, `read` or
  `admin`), unless the server runs without keys on a loopback address. Send it as
  `Authorization: Bearer KEY` or `X-API-Key: KEY`. An operator creates keys with
  `cutout key NAME --scope SCOPE`.
* A key is not limited to what was created with it: with the scope `read` it reads every cutout and
  batch of the server, with `submit` it deletes any cutout.
* Every error is a JSON object of the type `application/problem+json` (schema `Problem`) with a
  stable `code` and a `next_step`.
* A location in object storage is written `s3://bucket/key`; the server and its workers access it
  with their own credentials.
"""
TAGS = [
    {
        "name": "cutouts",
        "description": "One photograph in, one image out. A finished cutout can be read for 7 days"
        " unless it is deleted earlier.",
    },
    {
        "name": "batches",
        "description": "Every photograph below one location, with the outputs written below"
        " another. Each image reaches exactly one terminal state: done, skipped or failed.",
    },
    {"name": "events", "description": "Notifications of new objects in a bucket."},
    {"name": "models", "description": "The neural networks that can be chosen."},
]
PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key created with `cutout key`.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key, for clients that cannot set the Authorization header.",
    },
}
FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")
"""Error schemas that FastAPI adds. `problems.install` answers with Problem instead."""


def create_api(**options: Any) -> FastAPI:
    """Return an app with all routes and the OpenAPI document, but without a context.

    `options` are passed to FastAPI.
    """
    app = FastAPI(
        title="cutout",
        version="1",
        summary="Cuts the subject out of photographs.",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # names in generated clients
        **options,
    )
    for router in ROUTERS:
        app.include_router(router)

    @app.webhooks.post(
        "cutout-ended",
        operation_id="cutout_ended",
        summary="Sent to `callback_url` once a cutout is done or failed",
    )
    def cutout_ended(cutout: Cutout) -> None:
        """Your server receives the cutout as `GET /v1/cutouts/{cutout_id}` returns it.

        Signed as Standard Webhooks 1.0.0 describes if the server has a webhook secret; the header
        `webhook-id` is the cutout's ID. Delivered at least once: unless your server answers 2xx or
        410, it is sent again, with growing delays, for about a day.
        """

    @app.webhooks.post(
        "batch-closed",
        operation_id="batch_closed",
        summary="Sent to `callback_url` each time a batch is closed or has failed",
    )
    def batch_closed(batch: Batch) -> None:
        """Your server receives the batch as `GET /v1/batches/{batch_id}` returns it.

        All its images are settled, or its source could not be listed and its `state` is `failed`.

        Signed and repeated like `cutout-ended`. The header `webhook-id` is the batch's ID, a colon
        and a number: a batch that is closed again after a retry is sent again, with another number.
        """

    _amend_document(app)
    return app


def schema() -> dict[str, Any]:
    """Return the OpenAPI document. Needs neither settings nor Redis nor storage."""
    return create_api().openapi()


def _amend_document(app: FastAPI) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = amended(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI documents it


def _impossible_errors(method: str, operation: dict[str, Any]) -> set[str]:
    """Return the statuses in `problems.RESPONSES` that an operation never answers."""
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    impossible = set()
    if "requestBody" not in operation:
        impossible |= {"408", "413"}
        if not places:
            impossible.add("422")
    if method == "get" and "path" not in places:
        impossible |= {"404", "409"}
    return impossible


def amended(document: dict[str, Any]) -> dict[str, Any]:
    """Add to FastAPI's document the API keys, the problems and the body that it cannot know."""
    for path in document["paths"].values():
        for method, operation in path.items():
            operation["security"] = [{"bearer": []}, {"key": []}]
            for status in _impossible_errors(method, operation):
                operation["responses"].pop(status, None)
            for status, answer in operation["responses"].items():
                if status >= "400":
                    answer["content"] = PROBLEM
    for path in document["webhooks"].values():
        path["post"]["responses"] = {
            "2XX": {"description": "Received. No further attempt is made."},
            "410": {"description": "Unwanted. No further attempt is made."},
        }
    components = document["components"]
    components["securitySchemes"] = SECURITY_SCHEMES
    components["schemas"] |= request.COMPONENTS
    for name in FRAMEWORK_SCHEMAS:
        components["schemas"].pop(name, None)
    return document
