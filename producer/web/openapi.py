"""The API's own description, made to say what it does."""

from typing import Any

from fastapi import FastAPI

from producer.web.cutouts import request
from producer.web.problems import MEDIA_TYPE

PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key of `cutout key`"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
FRAMEWORKS = ("HTTPValidationError", "ValidationError")
"""Shapes of errors that FastAPI documents, and `problems.install` replaces."""


def document(app: FastAPI) -> None:
    """Have the document name our problems where it would name FastAPI's errors, and the keys."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = amended(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way


def amended(schema: dict[str, Any]) -> dict[str, Any]:
    for path in schema["paths"].values():
        for operation in path.values():
            operation["security"] = [{"bearer": []}, {"key": []}]
            for status, response in operation["responses"].items():
                if status >= "400":
                    response["content"] = PROBLEM
    for path in schema["webhooks"].values():
        path["post"]["responses"] = {"2XX": {"description": "taken; else it is told again"}}
    components = schema["components"]
    components["securitySchemes"] = SECURITY
    components["schemas"] |= request.COMPONENTS
    for name in FRAMEWORKS:
        components["schemas"].pop(name, None)
    return schema
