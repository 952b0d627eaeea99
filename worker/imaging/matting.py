"""From a network's view of a photograph to its matte, as carefully as the recipe says."""

from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

from contract.errors import ErrorCode
from contract.quality import Quality
from worker.imaging.arrays import Float32Array
from worker.imaging.doubts import NEAR_CERTAINTY, doubts, measure
from worker.imaging.layout import Box, box_size
from worker.imaging.refine import refine
from worker.imaging.second_pass import (
    MIN_CONFIDENCE,
    MIN_GAIN,
    MIN_MIRROR_CONFIDENCE,
    agrees,
    confidence,
    subject_box,
    subject_region,
)
from worker.imaging.u2net import enlarged, stretched

NO_SUBJECT = (ErrorCode.NO_SUBJECT,)


class Predict(Protocol):
    """A network that looks at a photograph."""

    def __call__(self, box: Box, *, mirrored: bool = False) -> Float32Array:
        """Return the saliency of a box of the photograph: float32 [side, side], 0..1.

        `mirrored`: it is shown the mirror image; what it sees is mirrored back.
        """
        ...


MatteSource = Literal["network", "kept", "transparency", "white"]
"""`kept` by an earlier batch; or see `ready.py`."""


@dataclass(frozen=True, slots=True)
class Matte:
    """A photograph's matte, and what speaks against it."""

    alpha: Image.Image
    """mode L, 0..255, of the photograph's size; 255 is the subject"""
    doubts: tuple[ErrorCode, ...] = ()
    source: MatteSource = "network"


def matte_of(rgb: Image.Image, predict: Predict, quality: Quality) -> Matte:
    """Return the matte of a mode RGB image, and doubts about its subject."""
    box = (0, 0, *rgb.size)
    saliency = predict(box)
    if quality.passes == 2:  # noqa: PLR2004
        saliency, raised = _from_both_sides(predict, box, saliency)
        box, view = _looked_again(predict, box, stretched(saliency))
    else:
        raised, view = doubts(measure(saliency)), stretched(saliency)
    return Matte(_at_full_size(rgb, box, view, quality), raised)


def _from_both_sides(
    predict: Predict, whole: Box, first: Float32Array
) -> tuple[Float32Array, tuple[ErrorCode, ...]]:
    """Return the saliency of a photograph, or of its mirror image, and the doubts about it.

    The mirror image is looked at only if the first one is in doubt. It counts if it is more
    confident, and not in doubt itself. Where it shows no subject there is none, unless the first
    one's is seen from near as well.
    """
    raised, sure = doubts(measure(first)), confidence(stretched(first))
    if sure >= MIN_CONFIDENCE:
        return first, raised
    from_mirror = predict(whole, mirrored=True)
    by_mirror = doubts(measure(from_mirror))
    if confidence(stretched(from_mirror)) >= max(sure + MIN_GAIN, MIN_MIRROR_CONFIDENCE):
        return from_mirror, by_mirror
    if NO_SUBJECT in (raised, by_mirror):
        seen = raised != NO_SUBJECT and _is_seen_from_near(predict, whole, first)
        return first, raised if seen else NO_SUBJECT
    return first, raised


def _is_seen_from_near(predict: Predict, whole: Box, first: Float32Array) -> bool:
    """Return whether the network, shown the subject's box alone, is sure of the same subject."""
    region = subject_box(stretched(first), box_size(whole))
    if region is None:
        return False
    near = predict(region)
    sure = measure(near).certainty >= NEAR_CERTAINTY
    return sure and agrees(stretched(first), stretched(near), region, box_size(whole))


def _looked_again(predict: Predict, whole: Box, first: Float32Array) -> tuple[Box, Float32Array]:
    """Return the box that the best view shows, and the view: float32 [side, side], 0..255."""
    region = subject_region(first, box_size(whole))
    if region:
        second = stretched(predict(region))
        surer = confidence(second) >= confidence(first)
        if surer and agrees(first, second, region, box_size(whole)):
            return region, second
    return whole, first


def _at_full_size(rgb: Image.Image, box: Box, view: Float32Array, quality: Quality) -> Image.Image:
    """Return the matte of a whole photograph from a view of a box, 0..255."""
    if quality.refine == "edges":
        return refine(rgb, view, box)
    matte = enlarged(view, box_size(box))
    if matte.size == rgb.size:
        return matte
    canvas = Image.new("L", rgb.size, 0)
    canvas.paste(matte, box[:2])
    return canvas
