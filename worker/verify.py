"""Checks a written file against the requirements of its preset."""

from collections.abc import Callable
from dataclasses import dataclass

from contract.errors import ErrorCode, PermanentError
from contract.policy import Policy
from contract.presets import PRESETS, Preset
from contract.rendition import Rendition
from contract.requirements import UNITS, Check, Requirement
from worker.imaging.decode import Limits
from worker.imaging.measure import Measurement, measure
from worker.imaging.plain_background import OnPlainBackground

ASPECT_TOLERANCE = 1
"""Pixels by which a side may differ from the aspect ratio's, as sides are whole numbers."""
NOT_FOUND = "not found"
WITHOUT_LIMIT = Limits(pixels=2**31, side=2**31)
"""For files of our own."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    check: Check
    figure: str
    """what was measured"""
    required: str
    passed: bool

    def __str__(self) -> str:
        required = "" if self.passed else f" (required: {self.required})"
        return f"{self.check} {self.figure}{required}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The results of all checks of a file."""

    results: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)

    @property
    def failures(self) -> str:
        """The checks that failed, with figure and requirement, as one line."""
        return "; ".join(str(result) for result in self.results if not result.passed)


def verify(data: bytes, preset: Preset, limits: Limits) -> Verdict:
    """Check a file. Raises PermanentError if it cannot be decoded."""
    measured = measure(data, limits, preset.background)
    return Verdict(tuple(_result(required, measured) for required in preset.requirements))


def fails_preset(data: bytes, rendition: Rendition, policy: Policy) -> bool:
    """Return whether a rendition's file fails the preset it names, and goes to review.

    Raises PermanentError (`preset_failed`) if the policy does not say so.
    """
    if rendition.verify is None:
        return False
    verdict = verify(data, PRESETS[rendition.verify], WITHOUT_LIMIT)
    if not verdict.passed and policy.preset_failed == "fail":
        message = f"The output fails the preset {rendition.verify}: {verdict.failures}."
        raise PermanentError(ErrorCode.PRESET_FAILED, message)
    return not verdict.passed


def _result(required: Requirement, measured: Measurement) -> CheckResult:
    figure = _figure(required, measured)
    shown = figure if isinstance(figure, str) else f"{figure:,.10g}{UNITS.get(required.check, '')}"
    return CheckResult(required.check, shown, required.text, required.passes(figure))


PLAIN_FIGURES: dict[Check, Callable[[Measurement], float | str]] = {
    Check.FORMAT: lambda measured: measured.format,
    Check.CHANNELS: lambda measured: measured.channels,
    Check.COLOUR_SPACE: lambda measured: measured.colour_space,
    Check.BYTES: lambda measured: measured.bytes,
    Check.LONGEST_SIDE: lambda measured: max(measured.size),
    Check.SHORTEST_SIDE: lambda measured: min(measured.size),
    Check.MEGAPIXELS: lambda measured: round(measured.size[0] * measured.size[1] / 1e6, 2),
}
"""check -> its figure, for checks that look at no background"""


def _figure(required: Requirement, measured: Measurement) -> float | str:
    if required.check in PLAIN_FIGURES:
        return PLAIN_FIGURES[required.check](measured)
    if required.check is Check.ASPECT:
        return _aspect(required.values[0], measured.size)
    return _figure_on_background(required, measured.on_background)


def _figure_on_background(required: Requirement, on: OnPlainBackground | None) -> float | str:
    if on is None:
        return NOT_FOUND
    match required.check:
        case Check.BACKGROUND:
            return _background(required.values[0], on)
        case Check.FILL:
            return round(on.fill, 1)
        case Check.SOFT_EDGE:
            return round(on.soft_edge, 1)
        case _ if not on.fill:
            return NOT_FOUND  # an empty picture
        case _:
            return f"touches {' and '.join(on.touched_sides)}" if on.touched_sides else "clear"


def _background(colour: str, on: OnPlainBackground) -> str:
    """Return the colour if the background has it to the last bit; else how far it is from it."""
    if not on.background_pixels:
        return NOT_FOUND
    if not on.impure_pixels:
        return colour
    share = 100 * on.impure_pixels / on.background_pixels
    return f"{share:.2g} % of it is not {colour}, by up to {on.largest_difference}"


def _aspect(wanted: str, size: tuple[int, int]) -> str:
    across, down = map(int, wanted.split(":"))
    width, height = size
    if abs(height - width * down / across) <= ASPECT_TOLERANCE:
        return wanted
    return f"{width}:{height}"
