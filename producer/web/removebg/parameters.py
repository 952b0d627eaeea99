"""The language of remove.bg's API (v1.0, POST /v1.0/removebg), and what of it we speak.

A parameter is carried out or refused by its name, never passed over. What is empty counts as not
given, as there.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

from pydantic import ValidationError

from contract.errors import ErrorCode
from contract.outcome import Outcome
from contract.rendition import Rendition
from producer.web.removebg.css_colours import COLOURS

Source = Literal["image_file", "image_file_b64", "image_url"]
SOURCES: tuple[Source, ...] = get_args(Source)
BAD_REQUEST = 400

MEGAPIXELS: dict[str, float | None] = {
    "preview": 0.25, "small": 0.25, "regular": 0.25, "medium": 1.5, "hd": 4.0,
    "full": None, "4k": None, "50mp": None, "auto": None,
}  # fmt: skip
HARMLESS = {
    "type": ("auto", "product"),
    "type_level": ("none",),
    "semitransparency": ("true",),
    "add_shadow": ("false",),
    "shadow_type": ("none",),
}
"""Parameters that we do not carry out, by the values that ask for nothing we would not do."""
REFUSED = ("shadow_opacity", "shadow_method", "bg_image_url", "bg_image_file")

PARAMETERS = {"background": "bg_color"}
"""Our fields by their names, where those differ."""
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)%", re.ASCII)

FAILURES = {
    ErrorCode.NO_SUBJECT: ("unknown_foreground", "Could not identify foreground in image."),
    ErrorCode.EMPTY_FILE: ("failed_to_read_image", "There was an error reading the image."),
    ErrorCode.TRUNCATED_IMAGE: ("failed_to_read_image", "There was an error reading the image."),
    ErrorCode.CORRUPT_IMAGE: ("failed_to_read_image", "There was an error reading the image."),
    ErrorCode.NOT_AN_IMAGE: ("invalid_file_type", "Invalid file type"),
    ErrorCode.UNSUPPORTED_FORMAT: ("invalid_file_type", "Invalid file type"),
    ErrorCode.TOO_MANY_PIXELS: ("resolution_too_high", "Image resolution too high"),
    ErrorCode.TOO_MANY_BYTES: ("file_too_large", "File too large"),
}
"""What is wrong with the photograph itself, in remove.bg's codes and words."""

Body = dict[str, list[dict[str, str]]]
Box = tuple[int, int, int, int]


class RefusedError(Exception):
    """A request that is not carried out; `body` is for the client, `status` is always 400."""

    status = BAD_REQUEST

    def __init__(self, code: str, title: str, detail: str) -> None:
        super().__init__(code, title, detail)
        self.code = code
        self.body = error_body(code, title, detail)


@dataclass(frozen=True, slots=True)
class Request:
    source: Source
    """the parameter that holds the photograph"""
    rendition: Rendition


def parse(form: Mapping[str, str]) -> Request:
    """Return what is asked for. Raises RefusedError, which names the parameter.

    For an uploaded `image_file` the form holds any text that is not empty.
    """
    given = {name: value.strip() for name, value in form.items() if value.strip()}
    source = _source(given)
    for name, value in given.items():
        if name in HARMLESS:
            _expect(name, value.lower(), HARMLESS[name])
        elif name in REFUSED:
            _refuse(name, f"{name} is not supported here.", "unsupported_parameter")
        elif name not in READERS and name not in SOURCES:
            _refuse(name[:40], f"There is no parameter {name[:40]}.", "unknown_parameter")
    fields: dict[str, Any] = {"size": MEGAPIXELS["preview"]}
    for name, reader in READERS.items():
        if name in given:
            fields |= reader(given[name])
    if "scale" in fields and given.get("position") == "original":
        _refuse("position", "position=original is not supported here together with scale.")
    return Request(source, _rendition(fields))


def texts(body: Mapping[str, object]) -> dict[str, str]:
    """Return a JSON body as the form it stands for: `parse` takes both."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in body.items()
        if value is not None
    }


def error_body(code: str, title: str, detail: str) -> Body:
    """Return the JSON of an error, as remove.bg's clients read it."""
    return {"errors": [{"title": title, "code": code, "detail": detail}]}


def failure(outcome: Outcome, *, fetched: bool = False) -> tuple[int, Body]:
    """Return (status, body) for an image that failed: 400 where it is at fault, else 500.

    `fetched`: from a URL of the client's.
    """
    if fetched and ErrorCode.URL_UNAVAILABLE in outcome.message:
        title = "Failed to download given URL"
        return BAD_REQUEST, error_body("failed_image_download", title, outcome.message)
    if outcome.code in FAILURES:
        code, title = FAILURES[outcome.code]
        return BAD_REQUEST, error_body(code, title, outcome.message)
    title = "An unknown error happened."
    return 500, error_body("unknown_error", title, f"{outcome.code}: {outcome.message}")


def headers(outcome: Outcome, subject: Box | None = None) -> dict[str, str]:
    """Return the headers that remove.bg's clients read beside a finished image.

    `subject` is its box (left, top, right, bottom) in the photograph, where it is known. X-Type is
    left out, as with type_level=none: nothing is classified here, and nothing charged.
    """
    found = {"X-Credits-Charged": "0"}
    if outcome.width is not None and outcome.height is not None:
        found |= {"X-Width": str(outcome.width), "X-Height": str(outcome.height)}
    if subject:
        left, top, right, bottom = subject
        sizes = {"Top": top, "Left": left, "Width": right - left, "Height": bottom - top}
        found |= {f"X-Foreground-{name}": str(value) for name, value in sizes.items()}
    return found


def _source(given: Mapping[str, str]) -> Source:
    found = [name for name in SOURCES if name in given]
    names = "image_url, image_file or image_file_b64"
    if not found:
        detail = f"Please provide the source image in the {names} parameter."
        raise RefusedError("missing_source", "No image given", detail)
    if len(found) > 1:
        detail = f"Please provide either the {names} parameter."
        raise RefusedError("multiple_sources", "Multiple image sources given", detail)
    return found[0]


def _refuse(name: str, detail: str, code: str | None = None) -> NoReturn:
    raise RefusedError(code or f"invalid_{name}", f"Invalid {name} parameter given", detail)


def _expect(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        _refuse(name, f"{name}={value[:40]} is not supported here: {' or '.join(allowed)}.")
    return value


def _size(text: str) -> dict[str, Any]:
    return {"size": MEGAPIXELS[_expect("size", text.lower(), tuple(MEGAPIXELS))]}


def _format(text: str) -> dict[str, Any]:
    return {"format": _expect("format", text.lower(), ("auto", "png", "jpg"))}


def _channels(text: str) -> dict[str, Any]:
    return {"channels": _expect("channels", text.lower(), ("rgba", "alpha"))}


def _crop(text: str) -> dict[str, Any]:
    return {"crop": BOOLEANS[_expect("crop", text.lower(), tuple(BOOLEANS))]}


def _crop_margin(text: str) -> dict[str, Any]:
    match text.split():
        case [every]:
            margins = (every,) * 4
        case [upright, sideways]:
            margins = (upright, sideways) * 2
        case [top, right, bottom, left]:
            margins = (top, right, bottom, left)
        case _:
            _refuse("crop_margin", "crop_margin has one, two or four values.")
    return {"crop_margin": margins}


def _roi(text: str) -> dict[str, Any]:
    ends = tuple(text.split())
    if len(ends) != 4:  # noqa: PLR2004 - two points
        _refuse("roi", "roi has four values: x1 y1 x2 y2.")
    return {"roi": ends}


def _scale(text: str) -> dict[str, Any]:
    return {} if text == "original" else {"scale": _percent("scale", text)}


def _position(text: str) -> dict[str, Any]:
    match text.split():
        case ["original"]:
            return {}
        case ["center"]:
            return {"position": (50, 50)}
        case [both]:
            return {"position": (_percent("position", both),) * 2}
        case [across, down]:
            return {"position": (_percent("position", across), _percent("position", down))}
    _refuse("position", "position is original, center, or one or two percentages.")


def _percent(name: str, text: str) -> float:
    match = PERCENT.fullmatch(text)
    return float(match[1]) if match else _refuse(name, f"{name}: {text[:40]} is no percentage.")


def _bg_color(text: str) -> dict[str, Any]:
    return {"background": COLOURS.get(text.lower(), text)}


READERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "size": _size, "format": _format, "channels": _channels, "bg_color": _bg_color,
    "crop": _crop, "crop_margin": _crop_margin, "scale": _scale, "position": _position,
    "roi": _roi,
}  # fmt: skip


def _rendition(fields: dict[str, Any]) -> Rendition:
    """Return the rendition, or refuse the parameter whose field it is that pydantic refuses."""
    automatic = fields.get("format") in {None, "auto"}
    try:
        rendition = Rendition.model_validate(fields | {"format": "png"} if automatic else fields)
        if automatic and _opaque(rendition):
            rendition = Rendition.model_validate(fields | {"format": "jpg"})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0])
        name = PARAMETERS.get(field, field)
        code = first["type"] if first["type"].startswith("roi_") else None
        _refuse(name, f"{name}: {first['msg'].removeprefix('Value error, ')}.", code)
    return rendition


def _opaque(rendition: Rendition) -> bool:
    """Whether nothing of the output is transparent, for which `format=auto` is a JPEG."""
    return len(rendition.background or "") == len("#rrggbb")
