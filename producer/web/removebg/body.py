"""Reads the body of a remove.bg request: a form or JSON, with a file, base64 or a URL."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from producer.web.cutouts.request import Upload
from producer.web.removebg.errors import RemoveBgError

MAX_FILES = 2
MAX_FIELDS = 50


async def read_body(request: Request, max_field_bytes: int) -> tuple[dict[str, str], Upload | None]:
    """Return the parameters, and the file `image_file` if there is one.

    The value of a parameter that holds a file is the file's name. `max_field_bytes`: a photograph
    in base64 is a field, so fields may be large. Raises RemoveBgError.
    """
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body: Any = await request.json()
        except (ValueError, RecursionError):
            raise RemoveBgError("invalid_json", "Invalid JSON", "The body is not JSON.") from None
        return form_of_json(body if isinstance(body, dict) else {}), None
    upload = None
    async with request.form(
        max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=max_field_bytes
    ) as form:
        fields: dict[str, str] = {}
        for name, value in form.items():
            if isinstance(value, UploadFile):
                fields[name] = value.filename or "image"
                if name == "image_file":
                    upload = Upload(value.filename or "image", await value.read())
            else:
                fields[name] = value
    return fields, upload


def form_of_json(body: Mapping[str, object]) -> dict[str, str]:
    """Return a JSON body as the form with the same meaning."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in body.items()
        if value is not None
    }


def decode_image(form: Mapping[str, str]) -> Upload | None:
    """Return the photograph in `image_file_b64`, with or without `data:...;base64,`, or None.

    Raises RemoveBgError.
    """
    if not form.get("image_file_b64"):
        return None
    text = form["image_file_b64"].partition(";base64,")[2] or form["image_file_b64"]
    try:
        return Upload("image", base64.b64decode(text, validate=True))
    except binascii.Error:
        raise RemoveBgError(
            "invalid_image_file_b64", "Invalid image_file_b64", "image_file_b64 is not base64."
        ) from None
