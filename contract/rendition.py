"""The form an output takes: format, background, crop, size."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

MAX_MARGIN = {"px": 500, "%": 50}
LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,4})?)(px|%)", re.ASCII)
COLOUR = re.compile(r"[0-9a-f]{3,4}|(?:[0-9a-f]{2}){3,4}", re.ASCII)
WHOLE = ("0px", "0px", "100%", "100%")


def _length(text: str) -> str:
    match = LENGTH.fullmatch("0px" if text == "0" else text)
    if not match:
        raise ValueError("a length is written as 30px or 10%")
    amount = Decimal(match[1])
    return f"{amount.normalize():f}{match[2]}" if amount else "0px"


def pixels(length: str, whole: int) -> float:
    """Return a length of a rendition in pixels; percentages are of `whole`, in pixels."""
    amount, unit = _parts(length)
    return amount if unit == "px" else amount * whole / 100


def _parts(length: str) -> tuple[float, str]:
    unit = "%" if length.endswith("%") else "px"
    return float(length.removesuffix(unit)), unit


Length = Annotated[str, AfterValidator(_length)]
Percent = Annotated[float, Field(ge=0, le=100)]


class Rendition(BaseModel):
    """What becomes of a cut-out. By default the PNG of the photograph's size, straight alpha.

    In this order: what lies outside `roi` is background; the canvas is cropped to the subject; the
    subject is scaled and moved on the canvas; the canvas shrinks to `size`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["png", "jpg"] = Field("png", description="jpg lies on white by default")
    channels: Literal["rgba", "alpha"] = Field("rgba", description="alpha: the matte, in grey")
    background: str | None = Field(None, description="#rrggbb, or #rrggbbaa where translucent")
    crop: bool = Field(False, description="to the box of the subject")
    crop_margin: tuple[Length, Length, Length, Length] = Field(
        ("0px", "0px", "0px", "0px"),
        description="top, right, bottom, left: px of the photograph, or % of the subject's size",
    )
    scale: float | None = Field(
        None, ge=10, le=100, description="% of the largest size at which the subject fits"
    )
    position: tuple[Percent, Percent] | None = Field(
        None,
        description="% across and down: 0 is left or top, 50 the centre (as with `scale` alone)",
    )
    size: float | None = Field(None, ge=0.001, description="megapixels of the output at most")
    roi: tuple[Length, Length, Length, Length] | None = Field(
        None, description="left, top, right, bottom, in the photograph as displayed"
    )

    @field_validator("channels")
    @classmethod
    def _a_matte_is_lossless(cls, channels: str, info: ValidationInfo) -> str:
        if channels == "alpha" and info.data.get("format") == "jpg":
            raise ValueError("the matte is a PNG, never a jpg")
        return channels

    @field_validator("background")
    @classmethod
    def _one_spelling(cls, colour: str | None, info: ValidationInfo) -> str | None:
        if colour is None:
            return None
        digits = colour.lower().removeprefix("#")
        if not COLOUR.fullmatch(digits):
            raise ValueError("a colour has 3, 4, 6 or 8 hexadecimal digits")
        if len(digits) < len("rrggbb"):
            digits = "".join(digit * 2 for digit in digits)
        digits = digits[:6] + digits[6:].replace("ff", "")
        if len(digits) > len("rrggbb") and info.data.get("format") == "jpg":
            raise ValueError("a jpg has no translucent background")
        if info.data.get("channels") == "alpha":
            raise ValueError("the matte has no background")
        return f"#{digits}"

    @field_validator("crop_margin")
    @classmethod
    def _margins(cls, margins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if any(amount > MAX_MARGIN[unit] for amount, unit in map(_parts, margins)):
            raise ValueError("a margin is 500px or 50% at most")
        if info.data.get("crop") is False and any(margin != "0px" for margin in margins):
            raise ValueError("a margin needs crop")
        return margins

    @field_validator("roi")
    @classmethod
    def _region(cls, roi: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if roi is None or roi == WHOLE:
            return None
        ends = [_parts(length) for length in roi]
        if any(unit == "%" and amount > 100 for amount, unit in ends):  # noqa: PLR2004 - percent
            raise PydanticCustomError("roi_exceeds_bounds", "the region exceeds the photograph")
        for (low, unit), (high, other) in zip(ends[:2], ends[2:], strict=True):
            if high == 0 or ((unit == other or low == 0) and low >= high):
                raise PydanticCustomError("roi_region_empty", "the region is empty")
        return roi

    @property
    def places_subject(self) -> bool:
        """Whether it cannot be made without a subject."""
        return self.crop or self.scale is not None or self.position is not None

    @property
    def suffix(self) -> str:
        return f".{self.format}"

    @property
    def content_type(self) -> str:
        return "image/jpeg" if self.format == "jpg" else "image/png"


PLAIN = Rendition()
