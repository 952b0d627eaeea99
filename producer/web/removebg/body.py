"""Reads the body of a remove.bg request: a form or JSON, with files, base64 or URLs."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from producer.web.cutouts.request import WRONG_CHARSET, Upload
from producer.web.removebg.errors import RemoveBgError

MAX_FILES = 4
MAX_FIELDS = 50
FILE_PARTS = ("image_file", "bg_image_file")
"""Parts of a form that are files, whether they name one or not."""
FORM_TYPE = "multipart/form-data"
URL_SAFE = str.maketrans("-_", "+/")


@dataclass
class Body:
    """What a request sends."""

    fields: dict[str, str] = field(default_factory=dict)
    """the parameters; of one that is a file, the file's name"""
    files: dict[str, Upload] = field(default_factory=dict)
    """the files by their parameter, one of FILE_PARTS"""


async def read_body(request: Request, max_field_bytes: int) -> Body:
    """Return what a request sends. Raises RemoveBgError.

    `max_field_bytes`: a photograph in base64 is a field, so fields may be large.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        try:
            body: Any = await request.json()
        except (ValueError, RecursionError):
            raise RemoveBgError("invalid_json", "Invalid JSON", "The body is not JSON.") from None
        fields = form_of_json(body if isinstance(body, dict) else {})
        return _without_text_files(Body(fields))
    if content_type != FORM_TYPE:
        async with request.form(max_fields=MAX_FIELDS, max_part_size=max_field_bytes) as form:
            return _without_text_files(await _of_form(form))
    parser = _FormParser(
        request.headers, request.stream(),
        max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=max_field_bytes,
    )  # fmt: skip
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise RemoveBgError("invalid_form", "Invalid form", error.message) from None
    except UnicodeError:  # not just UnicodeDecodeError, which Starlette handles
        raise RemoveBgError("invalid_form", "Invalid form", WRONG_CHARSET) from None
    try:
        return await _of_form(form)
    finally:
        await form.close()


class _FormParser(MultiPartParser):
    """Takes the parts FILE_PARTS as files also if they name none, as some HTTP libraries do.

    Starlette would decode the bytes of such a part as text.
    """

    def on_headers_finished(self) -> None:
        part = self._current_part
        disposition = part.content_disposition or b""
        _, options = parse_options_header(disposition)
        if options.get(b"name", b"").decode("latin-1") in FILE_PARTS and b"filename" not in options:
            part.content_disposition = disposition + b'; filename=""'
        super().on_headers_finished()


async def _of_form(form: FormData) -> Body:
    body = Body()
    for name, value in form.items():
        if not isinstance(value, UploadFile):
            body.fields[name] = value
            continue
        upload = Upload(value.filename or "image", await value.read())
        if upload.data or value.filename:  # an empty part is a file that was not chosen
            body.fields[name] = upload.name
            if name in FILE_PARTS:
                body.files[name] = upload
    return body


def _without_text_files(body: Body) -> Body:
    """Return a body that cannot hold files. Raises RemoveBgError if it has a parameter for one."""
    for name in FILE_PARTS:
        if body.fields.get(name, "").strip():
            raise RemoveBgError(
                f"invalid_{name}",
                f"Invalid {name} parameter given",
                f"{name} must be a file in a form of the type {FORM_TYPE}.",
            )
    return body


def form_of_json(body: Mapping[str, object]) -> dict[str, str]:
    """Return a JSON body as the form with the same meaning."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in body.items()
        if value is not None
    }


def decode_image(fields: Mapping[str, str]) -> Upload | None:
    """Return the photograph in `image_file_b64`, or None. Raises RemoveBgError.

    Base64 as in RFC 4648, sections 4 and 5, with or without padding, line breaks and
    `data:...;base64,` before it.
    """
    text = fields.get("image_file_b64", "").strip()
    if not text:
        return None
    text = text.partition(";base64,")[2] or text
    text = re.sub(r"\s*[\r\n]+\s*", "", text).translate(URL_SAFE).rstrip("=")
    try:
        return Upload("image", base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError):
        raise RemoveBgError(
            "invalid_image_file_b64", "Invalid image_file_b64", "image_file_b64 is not base64."
        ) from None
