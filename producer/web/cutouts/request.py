"""Reads the request for a cutout, from JSON or from a form with an upload."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Self

from fastapi import Request
from pydantic import BeforeValidator, ConfigDict, Field, Json, ValidationError, model_validator
from starlette.datastructures import UploadFile

from contract.errors import ErrorCode
from contract.presets import PRESETS
from contract.quality import DEFAULT, Quality
from contract.rendition import PLAIN, Rendition
from contract.validation import first_error
from producer.recipes.fields import RECIPE_TEXT, RecipeField, RenditionChoice
from producer.web.problems import RequestError

EXAMPLE_RENDITION: dict[str, Any] = {
    "format": "jpg", "crop": True, "crop_margin": ["5%", "5%", "5%", "5%"], "size": 2,
}  # fmt: skip
EXAMPLE_QUALITY: dict[str, Any] = {"refine": "edges", "passes": 2}
DESTINATION_TEXT = (
    "Where to write the output: `s3://bucket/key`. If the recipe has several renditions,"
    " `.NAME.FORMAT` replaces the key's extension for each. Default: the server's own store, from"
    " which it can be downloaded and deleted through the API."
)
MODEL_TEXT = "The neural network to use; see `GET /v1/models`. Default: the server's model."
CALLBACK_TEXT = (
    "An https URL that receives the cutout as a POST once it is done or failed; see the webhook"
    " `cutout-ended`."
)
RENDITION_TEXT = (
    "The form of the output. Default: a PNG of the photograph's size with transparency."
)

QUALITY_TEXT = "How carefully the matte is computed."
WRONG_CHARSET = "The form cannot be read in the charset that its Content-Type names."


class NewCutout(RenditionChoice):
    """A photograph in storage or on the web, and what to do with it."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(
        min_length=1, max_length=4096, examples=["s3://photographs/in/shoe.jpg"],
        description="Where the photograph is: `s3://bucket/key` or `https://host/path`.",
    )  # fmt: skip
    destination: str | None = Field(
        None, max_length=4096, description=DESTINATION_TEXT,
        examples=["s3://photographs/out/shoe.png"],
    )  # fmt: skip
    model: str | None = Field(
        None, max_length=100, description=MODEL_TEXT, examples=["u2netp-int8"]
    )
    callback_url: str | None = Field(
        None, max_length=4096, description=CALLBACK_TEXT,
        examples=["https://shop.example/hooks/cutout"],
    )  # fmt: skip
    rendition: Rendition = Field(PLAIN, description=RENDITION_TEXT, examples=[EXAMPLE_RENDITION])
    quality: Quality = Field(DEFAULT, description=QUALITY_TEXT, examples=[EXAMPLE_QUALITY])

    @model_validator(mode="after")
    def _is_named_after_destination(self) -> Self:
        if self.document.has_keys:
            raise ValueError("the outputs of a cutout are named after its destination: remove key")
        if self.document.policy.reviews:
            raise ValueError("a cutout has one destination: `deliver` or `fail`, not `review`")
        return self


def _quoted(text: Any) -> Any:
    """Return the JSON text of a recipe; the name of a preset needs no quotes in a form."""
    return json.dumps(text) if isinstance(text, str) and text in PRESETS else text


class FormFields(NewCutout):
    """The same, sent as form fields, all of which are text."""

    rendition: Json[Rendition] = PLAIN
    quality: Json[Quality] = DEFAULT
    recipe: Annotated[Json[RecipeField], BeforeValidator(_quoted)] = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A photograph that came with the request."""

    name: str
    """the file's name as the client wrote it: untrusted"""
    data: bytes


BODY = NewCutout.model_json_schema(ref_template="#/components/schemas/{model}")
COMPONENTS: dict[str, Any] = BODY.pop("$defs")
"""Schemas that BODY refers to. FastAPI does not read this body, so it does not know them."""

CONTENT = {
    "application/json": {"schema": BODY},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "title": "Upload",
            "description": "A photograph, and what to do with it.",
            "required": ["image"],
            "additionalProperties": False,
            "properties": {
                "image": {
                    "type": "string", "format": "binary",
                    "description": "The photograph: JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF.",
                },
                "model": {"type": "string", "maxLength": 100, "description": MODEL_TEXT},
                "destination": {
                    "type": "string", "maxLength": 4096, "description": DESTINATION_TEXT,
                },
                "callback_url": {
                    "type": "string", "maxLength": 4096, "description": CALLBACK_TEXT,
                },
                "rendition": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": "#/components/schemas/Rendition"},
                    "description": f"{RENDITION_TEXT} Written as JSON text.",
                    "examples": [json.dumps(EXAMPLE_RENDITION)],
                },
                "quality": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": "#/components/schemas/Quality"},
                    "description": f"{QUALITY_TEXT} Written as JSON text.",
                    "examples": [json.dumps(EXAMPLE_QUALITY)],
                },
                "recipe": {
                    "type": "string",
                    "description": f"{RECIPE_TEXT} The fields are written as JSON text.",
                    "examples": ["white"],
                },
            },
        }
    },
}  # fmt: skip
"""The request bodies that the OpenAPI document describes."""


async def read_request(request: Request) -> tuple[NewCutout, Upload | None]:
    """Return the request, and the photograph if it came with it.

    Raises RequestError: `invalid_request`, or `too_many_bytes` and `request_timeout` (see
    `BodyLimits`).
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if content_type == "application/json":
            return NewCutout.model_validate_json(await request.body(), strict=True), None
        if content_type == "multipart/form-data":
            return await _read_form(request)
    except ValidationError as error:
        raise RequestError(ErrorCode.INVALID_REQUEST, first_error(error).sentence) from None
    except UnicodeError:  # not just UnicodeDecodeError, which Starlette handles
        raise RequestError(ErrorCode.INVALID_REQUEST, WRONG_CHARSET) from None
    raise RequestError(
        ErrorCode.INVALID_REQUEST,
        "The Content-Type must be application/json or multipart/form-data.",
    )


async def _read_form(request: Request) -> tuple[NewCutout, Upload]:
    async with request.form(max_files=1, max_fields=10) as form:
        image = form.get("image")
        fields = {name: text for name, text in form.items() if name != "image"}
        if not isinstance(image, UploadFile) or "source" in fields:
            raise RequestError(
                ErrorCode.INVALID_REQUEST,
                "image: a form must hold the file itself; to name a source, send JSON.",
            )
        upload = Upload(image.filename or "image", await image.read())
    return FormFields.model_validate({"source": "upload", **fields}, strict=True), upload
