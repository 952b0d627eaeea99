"""Parses the parameters of remove.bg's API (v1.0, POST /v1.0/removebg) into a rendition.

Every parameter is either applied or refused by name, never ignored. An empty value counts as
missing, as it does at remove.bg.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args

from pydantic import ValidationError

from contract.rendition import Rendition
from contract.validation import first_error
from producer.web.removebg.css_colours import COLOURS
from producer.web.removebg.errors import RemoveBgError

Source = Literal["image_file", "image_file_b64", "image_url"]
SOURCES: tuple[Source, ...] = get_args(Source)

MEGAPIXELS: dict[str, float | None] = {
    "preview": 0.25, "small": 0.25, "regular": 0.25, "medium": 1.5, "hd": 4.0,
    "full": None, "4k": None, "50mp": None, "auto": None,
}  # fmt: skip
"""Maximum size of the output in megapixels, by the value of `size`. None: the photograph's."""
TYPES = (
    "auto", "person", "product", "animal", "car", "car_interior", "car_part", "transportation",
    "graphic", "graphics", "other",
)  # fmt: skip
UNCLASSIFIED = "other"
"""The X-Type of a photograph of which the client said nothing."""
ACCEPTED_VALUES = {
    # hints: one network sees all photographs, and none is classified
    "type": TYPES,
    "type_level": ("none", "1", "2", "latest"),
    "semitransparency": ("true",),
}
"""Values that are accepted for parameters without an effect here, as they describe what is done
anyway. Other values are refused."""
UNSUPPORTED = ("shadow_opacity", "shadow_method")
SHADOWS = ("add_shadow", "shadow_type")
"""Parameters that may ask for a shadow. One is drawn if either does."""
BACKDROPS = ("bg_image_url", "bg_image_file")
"""Parameters that name an image to put behind the subject."""
PARAMETER_OF_FIELD = {"background": "bg_color"}
"""remove.bg's name of a field of `Rendition`, if it differs."""
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)%", re.ASCII)
MAX_ECHO = 40
"""Characters of a client's text that an error message repeats."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request asks for."""

    source: Source
    """the name of the parameter that holds the photograph"""
    rendition: Rendition
    backdrop: str | None = None
    """the name of the parameter that holds an image to put behind the subject"""
    foreground_type: str | None = UNCLASSIFIED
    """what the client says that the photograph shows; None: the answer is not to mention it"""


def parse(form: Mapping[str, str]) -> Parameters:
    """Return what a request asks for. Raises RemoveBgError, which names the parameter.

    If the request uploads a file as `image_file`, the form holds any non-empty text for it.
    """
    given = {name: value.strip() for name, value in form.items() if value.strip()}
    source = _source(given)
    for name, value in given.items():
        if name in ACCEPTED_VALUES:
            _expect(name, value.lower(), ACCEPTED_VALUES[name])
        elif name in UNSUPPORTED:
            _refuse(name, f"{name} is not supported here.", "unsupported_parameter")
        elif name not in {*PARSERS, *SOURCES, *BACKDROPS}:
            shown = name[:MAX_ECHO]
            _refuse(shown, f"The parameter {shown} is unknown.", "unknown_parameter")
    fields: dict[str, Any] = {"size": MEGAPIXELS["preview"]}
    for name, parse_value in PARSERS.items():
        if name in given:
            fields |= parse_value(given[name])
    if "scale" in fields and given.get("position") == "original":
        _refuse("position", "position=original together with scale is not supported here.")
    if "shadow" in fields and (fields.get("channels") == "alpha" or fields.get("format") == "zip"):
        name = next(name for name in SHADOWS if name in given)
        _refuse(name, f"{name} needs an output of colours: png, jpg or webp.")
    backdrop = _backdrop(given)
    rendition = _rendition(fields, opaque=backdrop is not None)
    if backdrop and (rendition.channels == "alpha" or rendition.format == "zip"):
        _refuse(backdrop, f"{backdrop} needs an output of colours: png, jpg or webp.")
    return Parameters(source, rendition, backdrop, _foreground_type(given))


def _backdrop(given: Mapping[str, str]) -> str | None:
    backgrounds = [name for name in (*BACKDROPS, "bg_color") if name in given]
    if len(backgrounds) > 1:
        _refuse(backgrounds[0], f"{' and '.join(backgrounds)} exclude each other.")
    return next((name for name in backgrounds if name in BACKDROPS), None)


def _foreground_type(given: Mapping[str, str]) -> str | None:
    if given.get("type_level", "").lower() == "none":
        return None
    hint = given.get("type", "auto").lower()
    return UNCLASSIFIED if hint == "auto" else hint


def _source(given: Mapping[str, str]) -> Source:
    sources = [name for name in SOURCES if name in given]
    names = "image_url, image_file or image_file_b64"
    if not sources:
        detail = f"Please provide the source image in the {names} parameter."
        raise RemoveBgError("missing_source", "No image given", detail)
    if len(sources) > 1:
        detail = f"Please provide only one of the parameters {names}."
        raise RemoveBgError("multiple_sources", "Multiple image sources given", detail)
    return sources[0]


def _refuse(name: str, detail: str, code: str | None = None) -> NoReturn:
    raise RemoveBgError(code or f"invalid_{name}", f"Invalid {name} parameter given", detail)


def _expect(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        supported = " or ".join(allowed)
        _refuse(name, f"{name}={value[:MAX_ECHO]} is not supported here; use {supported}.")
    return value


# Each function below returns the fields of `Rendition` that a parameter sets.


def _size(text: str) -> dict[str, Any]:
    return {"size": MEGAPIXELS[_expect("size", text.lower(), tuple(MEGAPIXELS))]}


def _format(text: str) -> dict[str, Any]:
    return {"format": _expect("format", text.lower(), ("auto", "png", "jpg", "webp", "zip"))}


def _channels(text: str) -> dict[str, Any]:
    return {"channels": _expect("channels", text.lower(), ("rgba", "alpha"))}


def _crop(text: str) -> dict[str, Any]:
    return {"crop": BOOLEANS[_expect("crop", text.lower(), tuple(BOOLEANS))]}


def _crop_margin(text: str) -> dict[str, Any]:
    match text.split():
        case [all_sides]:
            margins = (all_sides,) * 4
        case [vertical, horizontal]:
            margins = (vertical, horizontal) * 2
        case [top, right, bottom, left]:
            margins = (top, right, bottom, left)
        case _:
            _refuse("crop_margin", "crop_margin needs one, two or four values.")
    return {"crop_margin": margins}


def _roi(text: str) -> dict[str, Any]:
    corners = tuple(text.split())
    if len(corners) != 4:  # noqa: PLR2004 - two points
        _refuse("roi", "roi needs four values: x1 y1 x2 y2.")
    return {"roi": corners}


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
    _refuse("position", "position must be original, center, or one or two percentages.")


def _percent(name: str, text: str) -> float:
    match = PERCENT.fullmatch(text)
    if match is None:
        _refuse(name, f"{name}: {text[:MAX_ECHO]} is not a percentage such as 50%.")
    return float(match[1])


def _bg_color(text: str) -> dict[str, Any]:
    digits = text.removeprefix("#")  # a name, such as that of our own `blur`, is no colour
    return {"background": COLOURS.get(text.lower(), f"#{digits}")}


def _add_shadow(text: str) -> dict[str, Any]:
    wanted = BOOLEANS[_expect("add_shadow", text.lower(), tuple(BOOLEANS))]
    return {"shadow": "contact"} if wanted else {}


def _shadow_type(text: str) -> dict[str, Any]:
    kind = _expect("shadow_type", text.lower(), ("none", "auto"))
    return {"shadow": "contact"} if kind == "auto" else {}


PARSERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "size": _size, "format": _format, "channels": _channels, "bg_color": _bg_color,
    "crop": _crop, "crop_margin": _crop_margin, "scale": _scale, "position": _position,
    "roi": _roi, "add_shadow": _add_shadow, "shadow_type": _shadow_type,
}  # fmt: skip


def _rendition(fields: dict[str, Any], *, opaque: bool) -> Rendition:
    """Return the rendition, or refuse the parameter of the first field that is invalid.

    `opaque`: an image fills the canvas behind the subject.
    """
    automatic = fields.get("format") in {None, "auto"}
    try:
        rendition = Rendition.model_validate(fields | {"format": "png"} if automatic else fields)
        if automatic and (_is_opaque(rendition) or (opaque and rendition.channels == "rgba")):
            rendition = Rendition.model_validate(fields | {"format": "jpg"})
    except ValidationError as error:
        invalid = first_error(error)
        name = PARAMETER_OF_FIELD.get(invalid.name, invalid.name)
        code = invalid.type if invalid.type.startswith("roi_") else None
        _refuse(name, f"{name}: {invalid.message}.", code)
    return rendition


def _is_opaque(rendition: Rendition) -> bool:
    """Return whether no pixel of the output is transparent. `format=auto` is a JPEG then."""
    return len(rendition.background or "") == len("#rrggbb")
