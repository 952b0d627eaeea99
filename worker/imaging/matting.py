"""From a network's view of a photograph to its matte, as carefully as the recipe says."""

from collections.abc import Callable

from PIL import Image

from contract.quality import Quality
from worker.imaging.arrays import Float32Array
from worker.imaging.layout import Box, box_size
from worker.imaging.refine import refine
from worker.imaging.second_pass import agrees, subject_region
from worker.imaging.u2net import enlarged

Predict = Callable[[Box], Float32Array]
"""Returns a network's view of a box of the photograph: float32 [side, side], 0..255."""


def matte_of(rgb: Image.Image, predict: Predict, quality: Quality) -> Image.Image:
    """Return the matte of a mode RGB image: mode L, 0..255, of its size; 255 is the subject."""
    box = (0, 0, *rgb.size)
    view = predict(box)
    if quality.passes == 2 and (region := subject_region(view, rgb.size)):  # noqa: PLR2004
        second = predict(region)
        if agrees(view, second, region, rgb.size):
            box, view = region, second
    if quality.refine == "edges":
        return refine(rgb, view, box)
    matte = enlarged(view, box_size(box))
    if matte.size == rgb.size:
        return matte
    canvas = Image.new("L", rgb.size, 0)
    canvas.paste(matte, box[:2])
    return canvas
