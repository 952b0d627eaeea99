"""Lengths in pixels or percent, such as `30px` and `12.5%`."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator

LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,4})?)(px|%)", re.ASCII)


def _length(text: str) -> str:
    """Return a length in canonical form, such as `30px` or `12.5%`. Raises ValueError."""
    match = LENGTH.fullmatch("0px" if text == "0" else text)
    if not match:
        raise ValueError("a length must be written as 30px or 10%")
    amount = Decimal(match[1])
    return f"{amount.normalize():f}{match[2]}" if amount else "0px"


def pixels(length: str, whole: int) -> float:
    """Return a length in pixels. Percentages are of `whole`, in pixels."""
    amount, unit = parts(length)
    return amount if unit == "px" else amount * whole / 100


def parts(length: str) -> tuple[float, str]:
    """Return the amount of a length and its unit, `px` or `%`."""
    unit = "%" if length.endswith("%") else "px"
    return float(length.removesuffix(unit)), unit


Length = Annotated[str, AfterValidator(_length)]
"""A length in canonical form."""
