"""What a request for one image asks, read from JSON or a form."""

import re
from dataclasses import dataclass

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile

from contract.errors import ErrorCode
from producer.web.problems import RequestError

LONGEST_WAIT_SECONDS = 60


JSON_BYTES = 64 * 1024


DIGITS = re.compile("[0-9]{1,9}")


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


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    data: bytes


CONTENT = {
    "application/json": {"schema": NewCutout.model_json_schema()},
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
            return NewCutout.model_validate_json(await body_of(request)), None
        if kind == "multipart/form-data":
            return await _form(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestError(ErrorCode.INVALID_REQUEST, f"{where}: {first['msg']}.") from None
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
        if not isinstance(image, UploadFile):
            raise RequestError(ErrorCode.INVALID_REQUEST, "image: there is no such file.")
        upload = Upload(image.filename or "image", await image.read())
    return NewCutout.model_validate({"source": "upload", **fields}), upload
