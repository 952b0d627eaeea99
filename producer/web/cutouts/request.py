"""What a request for one image asks, read from JSON or a form."""

import json
import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError
from starlette.datastructures import UploadFile

from contract.errors import ErrorCode
from contract.rendition import PLAIN, Rendition
from producer.web.problems import RequestError

LONGEST_WAIT_SECONDS = 60


JSON_BYTES = 64 * 1024


DIGITS = re.compile("[0-9]{1,9}")


EXAMPLE: dict[str, Any] = {
    "format": "jpg", "crop": True, "crop_margin": ["5%", "5%", "5%", "5%"], "size": 2,
}  # fmt: skip


class NewCutout(BaseModel):
    """A photograph that lies somewhere, and what is to become of it."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(
        min_length=1, max_length=4096, description="s3://bucket/key or https://host/path",
        examples=["s3://photographs/in/shoe.jpg"],
    )  # fmt: skip
    destination: str | None = Field(
        None, max_length=4096, description="s3://bucket/key.png; default: this server's own store",
        examples=["s3://photographs/out/shoe.png"],
    )  # fmt: skip
    model: str | None = Field(None, max_length=100, examples=["u2netp"])
    callback_url: str | None = Field(
        None, max_length=4096, description="https; called once the image has ended"
    )
    rendition: Rendition = Field(PLAIN, examples=[EXAMPLE])


class FormFields(NewCutout):
    """The same as the fields of a form, each of which is a text."""

    rendition: Json[Rendition] = PLAIN


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    data: bytes


BODY = NewCutout.model_json_schema(ref_template="#/components/schemas/{model}")
COMPONENTS: dict[str, Any] = BODY.pop("$defs")
"""Shapes within it. FastAPI, which does not read this body, cannot know them."""

CONTENT = {
    "application/json": {"schema": BODY},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["image"],
            "additionalProperties": False,
            "properties": {
                "image": {"type": "string", "format": "binary"},
                "model": {"type": "string", "maxLength": 100},
                "destination": {"type": "string", "maxLength": 4096},
                "callback_url": {"type": "string", "maxLength": 4096},
                "rendition": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": "#/components/schemas/Rendition"},
                    "examples": [json.dumps(EXAMPLE)],
                },
            },
        }
    },
}


def preference(prefer: str | None) -> float:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), at most a minute."""
    for part in (prefer or "").split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "wait" and (digits := DIGITS.fullmatch(value.strip())):
            return min(int(digits[0]), LONGEST_WAIT_SECONDS)
    return 0


async def read(request: Request) -> tuple[NewCutout, Upload | None]:
    """Return what is asked for, and the photograph where it came along."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            return NewCutout.model_validate_json(await body_of(request), strict=True), None
        if kind == "multipart/form-data":
            return await _form(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        raise RequestError(ErrorCode.INVALID_REQUEST, f"{where}: {why}.") from None
    raise RequestError(
        ErrorCode.INVALID_REQUEST, "The body has to be application/json or multipart/form-data."
    )


async def body_of(request: Request) -> bytes:
    """Return a body that holds no photograph. Raises RequestError (`too_many_bytes`)."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_BYTES:
            raise RequestError(
                ErrorCode.TOO_MANY_BYTES, f"The body is over the limit of {JSON_BYTES:,} bytes."
            )
    return bytes(body)


async def _form(request: Request) -> tuple[NewCutout, Upload]:
    async with request.form(max_files=1, max_fields=10) as form:
        image = form.get("image")
        fields = {name: text for name, text in form.items() if name != "image"}
        if not isinstance(image, UploadFile) or "source" in fields:
            why = "a form brings the file itself in `image`; name a source in JSON"
            raise RequestError(ErrorCode.INVALID_REQUEST, f"image: {why}.")
        upload = Upload(image.filename or "image", await image.read())
    return FormFields.model_validate({"source": "upload", **fields}, strict=True), upload
