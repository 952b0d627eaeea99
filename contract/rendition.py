"""The rendition of an output: format, background, canvas, crop, size."""

import math
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from contract.lengths import Length, parts

MAX_MARGIN = {"px": 500, "%": 50}
"""unit -> largest crop margin"""
CONTENT_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "avif": "image/avif",
    "zip": "application/zip",
}  # fmt: skip
"""format -> content type"""
LOSSY = ("jpg", "webp", "avif")
"""Formats with a quality."""
BLUR = "blur"
"""The background that is the photograph itself, blurred."""
CANVAS = re.compile(r"([1-9]\d{0,4})([x:])([1-9]\d{0,4})", re.ASCII)
MAX_CANVAS_SIDE = 10_000
"""Longest side of a canvas, in pixels."""
MAX_ASPECT = 10
"""How many times as wide as high a canvas may be, or as high as wide."""
NAME = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
"""The name of a rendition: part of keys, so that no file system and no URL changes it."""
KEY_PART = re.compile(r"\{(dir|stem|name|ext)\}|[^{}]")
MAX_KEY_TEMPLATE = 200
"""Characters."""
COLOUR = re.compile(r"[0-9a-f]{3,4}|(?:[0-9a-f]{2}){3,4}", re.ASCII)
WHITE = "#ffffff"
WHOLE = ("0px", "0px", "100%", "100%")
"""The region (left, top, right, bottom) of a whole photograph."""


PresetName = Literal[
    "alpha", "white", "mask", "amazon-main", "google-merchant", "walmart", "shopify", "etsy", "ebay"
]
"""Names of presets. A test compares them with contract/presets.py."""
Percent = Annotated[float, Field(ge=0, le=100)]


class Rendition(BaseModel):
    """The form of the output. By default a PNG of the photograph's size with straight alpha.

    Applied in this order: everything outside `roi` becomes background; the canvas is cropped to the
    subject; it gets the shape of `canvas`; the subject is scaled and moved on it; it is shrunk to
    `size` and `max_side`; the file is compressed until it fits `max_bytes`.

    Nothing is enlarged, with one exception: `scale` enlarges a subject that is smaller than its
    share of a canvas whose size is given in pixels, or is the photograph's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(
        "",
        max_length=32,
        pattern=f"^(?:{NAME})?$",
        description="a short name, such as `thumb`: lower-case letters, digits and hyphens. Needed,"
        " and different from the others', if a recipe has several renditions",
    )
    key: str | None = Field(
        None,
        description="template of the output's key, from the photograph's: `{dir}/` is its folder,"
        " `{stem}` its name without extension, `{name}` the rendition's name, `{ext}` the format."
        " It must have `{stem}` and end in `.{ext}`. Default: `{dir}/{stem}.{ext}`, and"
        " `{dir}/{stem}.{name}.{ext}` if the recipe has several renditions",
    )
    format: Literal["png", "jpg", "webp", "avif", "zip"] = Field(
        "png",
        description="a jpg has a white background unless `background` is set; a zip holds"
        " color.jpg, the colours of the subject, and alpha.png, the matte",
    )
    quality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="of a jpg, webp or avif; default: 90, of an avif 75. A jpg below 46 may turn"
        " white into 254",
    )
    max_bytes: int | None = Field(
        None,
        ge=1000,
        description="largest size of a jpg, webp or avif: its quality is lowered, to 50 at the"
        " least, until the file fits; if it never does, the image fails with `output_too_large`",
    )
    channels: Literal["rgba", "alpha"] = Field(
        "rgba", description="`alpha`: only the matte, as a greyscale PNG"
    )
    colour: Literal["srgb", "keep"] = Field(
        "srgb",
        description="`srgb`: colours are converted to sRGB; `keep`: they keep the photograph's own"
        " RGB profile, which the output carries",
    )
    background: str | None = Field(
        None,
        description="#rrggbb, or #rrggbbaa if translucent; `blur`: the photograph's background,"
        " blurred; default: transparent, in a jpg white",
    )
    crop: bool = Field(False, description="crop to the bounding box of the subject")
    crop_margin: tuple[Length, Length, Length, Length] = Field(
        ("0px", "0px", "0px", "0px"),
        description="margins around the box if `crop` is set (top, right, bottom, left): in px of"
        " the photograph (at most 500px), or in % of the subject's size (at most 50%)",
        examples=[["30px", "5%", "30px", "5%"]],
    )
    scale: float | None = Field(
        None,
        ge=10,
        le=100,
        description="size of the subject, in % of the largest size that fits the canvas: with 80,"
        " it is enlarged until its width is 80 % of the canvas's width or its height 80 % of the"
        " canvas's height, whichever comes first",
    )
    position: tuple[Percent, Percent] | None = Field(
        None,
        description="position of the subject in %, across and down: 0 is left or top, 50 the centre"
        " (the default if `scale` is set)",
    )
    size: float | None = Field(
        None, ge=0.001, description="maximum size of the output, in megapixels"
    )
    max_side: int | None = Field(
        None, ge=1, description="longest side of the output, in pixels: a larger one is shrunk"
    )
    canvas: str | None = Field(
        None,
        description="`2000x2000`: width and height in pixels, at most 10000 each; or an aspect"
        " ratio, such as `1:1`. The picture is centred on it, and shrunk if it is larger. With an"
        " aspect ratio, the canvas is extended, never cropped; with `scale` too, it is as large as"
        " the subject's pixels allow",
    )
    verify: PresetName | None = Field(
        None,
        description="the preset whose requirements the file must fulfil; `preset_failed` in the"
        " recipe's `policy` says what happens to a file that does not",
    )
    roi: tuple[Length, Length, Length, Length] | None = Field(
        None,
        description="region with the subject: left, top, right, bottom, in px or % of the"
        " photograph as displayed",
        examples=[["0%", "20%", "100%", "1800px"]],
    )

    shadow: Literal["none", "contact"] = Field(
        "none",
        description="`contact`: a soft shadow is drawn on the ground under the subject",
    )

    @field_validator("key")
    @classmethod
    def _key_template(cls, template: str | None, info: ValidationInfo) -> str | None:
        if template is None:
            return None
        if len(template) > MAX_KEY_TEMPLATE or not template.isprintable():
            raise ValueError(f"a key must have at most {MAX_KEY_TEMPLATE} printable characters")
        if re.sub(KEY_PART, "", template):
            raise ValueError("a key knows only {dir}, {stem}, {name} and {ext}")
        if "{stem}" not in template or not template.endswith(".{ext}"):
            raise ValueError("a key must have {stem} and end in .{ext}")
        if template.count("{dir}") != template.count("{dir}/"):
            raise ValueError("{dir} must be followed by /")
        if "{name}" in template and not info.data.get("name"):
            raise ValueError("{name} needs a name")
        parts = template.removeprefix("{dir}/").split("/")
        if {"", ".", ".."} & {*parts} or parts[0].startswith(("_cutout", "_review")):
            raise ValueError("a key must be a plain relative path, and not in _cutout or _review")
        return template

    @field_validator("quality", "max_bytes")
    @classmethod
    def _is_lossy(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("format") not in LOSSY:
            raise ValueError("only a jpg, webp or avif has a quality")
        return value

    @field_validator("channels")
    @classmethod
    def _matte_is_png(cls, channels: str, info: ValidationInfo) -> str:
        if channels == "alpha" and info.data.get("format") != "png":
            raise ValueError("the matte can only be a png")
        return channels

    @field_validator("background")
    @classmethod
    def _canonical_colour(cls, colour: str | None, info: ValidationInfo) -> str | None:
        if colour is None:
            return None
        if info.data.get("channels") == "alpha":
            raise ValueError("the matte cannot have a background")
        if info.data.get("format") == "zip":
            raise ValueError("a zip cannot have a background")
        if colour == BLUR:
            return colour
        digits = colour.lower().removeprefix("#")
        if not COLOUR.fullmatch(digits):
            raise ValueError("a colour must have 3, 4, 6 or 8 hexadecimal digits")
        if len(digits) < len("rrggbb"):
            digits = "".join(digit * 2 for digit in digits)
        digits = digits[:6] + digits[6:].replace("ff", "")
        if len(digits) > len("rrggbb") and info.data.get("format") == "jpg":
            raise ValueError("a jpg cannot have a translucent background")
        return f"#{digits}"

    @field_validator("shadow")
    @classmethod
    def _drawn_in_colour(cls, shadow: str, info: ValidationInfo) -> str:
        if shadow != "none" and info.data.get("channels") == "alpha":
            raise ValueError("the matte cannot have a shadow")
        if shadow != "none" and info.data.get("format") == "zip":
            raise ValueError("a zip cannot have a shadow")
        return shadow

    @field_validator("crop_margin")
    @classmethod
    def _margins(cls, margins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if any(amount > MAX_MARGIN[unit] for amount, unit in map(parts, margins)):
            raise ValueError("a margin must be at most 500px or 50%")
        if info.data.get("crop") is False and any(margin != "0px" for margin in margins):
            raise ValueError("a margin requires crop")
        return margins

    @field_validator("canvas")
    @classmethod
    def _canonical_canvas(cls, canvas: str | None, info: ValidationInfo) -> str | None:
        if canvas is None:
            return None
        match = CANVAS.fullmatch(canvas)
        if not match:
            raise ValueError("a canvas must be written as 2000x2000 or 1:1")
        width, height = int(match[1]), int(match[3])
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise ValueError("a canvas must be at most ten times as long as wide")
        if info.data.get("crop") and info.data.get("scale") is not None:
            raise ValueError("scale sets how much the canvas shows: leave crop out")
        if match[2] == ":":
            divisor = math.gcd(width, height)
            return f"{width // divisor}:{height // divisor}"
        if max(width, height) > MAX_CANVAS_SIDE:
            raise ValueError("a canvas must be at most 10000 pixels long")
        if info.data.get("size") is not None or info.data.get("max_side") is not None:
            raise ValueError("a canvas in pixels has its size: leave size and max_side out")
        return f"{width}x{height}"

    @field_validator("roi")
    @classmethod
    def _region(cls, roi: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if roi is None or roi == WHOLE:
            return None
        sides = [parts(length) for length in roi]
        if any(unit == "%" and amount > 100 for amount, unit in sides):  # noqa: PLR2004 - percent
            raise PydanticCustomError("roi_exceeds_bounds", "the region exceeds the photograph")
        for (low, unit), (high, other) in zip(sides[:2], sides[2:], strict=True):
            if high == 0 or ((unit == other or low == 0) and low >= high):
                raise PydanticCustomError("roi_region_empty", "the region is empty")
        return roi

    @property
    def is_plain(self) -> bool:
        """True if its pixels are those of the default rendition."""
        return not self.model_dump(exclude_defaults=True, exclude={*WITHOUT_PIXELS})

    @property
    def places_subject(self) -> bool:
        """True if the rendition needs a subject: it crops to, scales or moves it."""
        return self.crop or self.scale is not None or self.position is not None

    @property
    def is_on_white(self) -> bool:
        """True if the output is a picture on opaque white, without a drawn shadow."""
        background = self.background or (WHITE if self.format == "jpg" else None)
        return background == WHITE and self.channels == "rgba" and self.shadow == "none"

    @property
    def canvas_size(self) -> tuple[int, int] | None:
        """(width, height) of the canvas if it is set in pixels."""
        return self._canvas_sides("x")

    @property
    def aspect(self) -> tuple[int, int] | None:
        """The canvas's proportions (across, down) if its aspect ratio is set."""
        return self._canvas_sides(":")

    def _canvas_sides(self, separator: str) -> tuple[int, int] | None:
        if self.canvas is None or separator not in self.canvas:
            return None
        width, height = self.canvas.split(separator)
        return int(width), int(height)

    @property
    def suffix(self) -> str:
        return f".{self.format}"

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.format]


PLAIN = Rendition()
"""The default rendition."""
WITHOUT_PIXELS = frozenset({"name", "key"})
"""Fields that decide where an output is written, not what it shows."""
