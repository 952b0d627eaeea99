"""From a network's view of a photograph to its matte, as carefully as the recipe says."""

from typing import Protocol

from PIL import Image

from contract.quality import Quality
from worker.imaging.arrays import Float32Array
from worker.imaging.layout import Box, box_size
from worker.imaging.refine import refine
from worker.imaging.second_pass import MIN_CONFIDENCE, agrees, confidence, subject_region
from worker.imaging.u2net import enlarged


class Predict(Protocol):
    """A network that looks at a photograph."""

    def __call__(self, box: Box, *, mirrored: bool = False) -> Float32Array:
        """Return its view of a box of the photograph: float32 [side, side], 0..255.

        `mirrored`: it is shown the mirror image; what it sees is mirrored back.
        """
        ...


def matte_of(rgb: Image.Image, predict: Predict, quality: Quality) -> Image.Image:
    """Return the matte of a mode RGB image: mode L, 0..255, of its size; 255 is the subject."""
    box = (0, 0, *rgb.size)
    view = predict(box)
    if quality.passes == 2:  # noqa: PLR2004
        box, view = _looked_again(predict, box, view)
    if quality.refine == "edges":
        return refine(rgb, view, box)
    matte = enlarged(view, box_size(box))
    if matte.size == rgb.size:
        return matte
    canvas = Image.new("L", rgb.size, 0)
    canvas.paste(matte, box[:2])
    return canvas


def _looked_again(predict: Predict, whole: Box, first: Float32Array) -> tuple[Box, Float32Array]:
    """Return the box that the best view shows, and the view: float32 [side, side], 0..255."""
    if confidence(first) < MIN_CONFIDENCE:
        first = max(first, predict(whole, mirrored=True), key=confidence)
    region = subject_region(first, box_size(whole))
    if region:
        second = predict(region)
        if agrees(first, second, region, box_size(whole)):
            return region, second
    return whole, first
