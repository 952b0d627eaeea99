import io

import numpy as np
import pytest
from PIL import Image

from contract.rendition import Rendition
from worker.imaging.blurred import blurred_background
from worker.imaging.cutout import Cutout, compose
from worker.imaging.decode import Photograph
from worker.imaging.encode import encode
from worker.imaging.render import render

RED, BLUE, GREEN = (250, 0, 0), (0, 0, 250), (0, 250, 0)


def photograph(size: tuple[int, int], box: tuple[int, int, int, int]) -> Cutout:
    """A red subject; the background is blue at the left and green at the right."""
    rgb, matte = Image.new("RGB", size, BLUE), Image.new("L", size, 0)
    rgb.paste(GREEN, (size[0] // 2, 0, *size))
    rgb.paste(RED, box)
    matte.paste(255, box)
    return Cutout(Photograph(rgb, None), matte)


def test_the_background_is_blurred_and_free_of_the_subject():
    rows = blurred_background(photograph((400, 300), (100, 100, 300, 200)), (400, 300)).rows(0, 300)
    assert rows.shape == (300, 400, 3)
    beside = rows[:, [*range(95), *range(305, 400)], 0]
    assert beside.max() <= 3  # no glow of red around the subject
    assert rows[150, 10, 2] > 240
    assert rows[150, 390, 1] > 240
    middle = rows[10, 197:203].astype(int)
    assert np.abs(middle[:, 1] - middle[:, 2]).max() < 40  # both colours, half and half
    assert np.abs(np.diff(rows.astype(int), axis=1)).max() < 8


@pytest.mark.parametrize("size", [(400, 400), (100, 800), (1, 1), (7, 3)])
def test_it_fills_any_canvas_and_strips_are_those_of_the_whole(size: tuple[int, int]):
    blurred = blurred_background(photograph((400, 300), (100, 100, 300, 200)), size)
    whole = blurred.rows(0, size[1])
    assert whole.shape == (size[1], size[0], 3)
    strips = [blurred.rows(0, size[1] // 2), blurred.rows(size[1] // 2, size[1])]
    assert (np.concatenate(strips) == whole).all()


def test_a_subject_that_fills_the_photograph_is_blurred_itself():
    rows = blurred_background(photograph((30, 20), (0, 0, 30, 20)), (30, 20)).rows(0, 20)
    assert (rows == RED).all()


def test_what_is_transparent_in_the_photograph_is_white():
    opaque = photograph((400, 300), (100, 100, 300, 200))
    own = Image.new("L", (400, 300), 0)
    own.paste(255, (100, 100, 300, 200))
    of = compose(Photograph(opaque.photograph.rgb, own), Image.new("L", (400, 300), 255))
    assert (blurred_background(of, (400, 300)).rows(0, 20) == 255).all()


@pytest.mark.parametrize("fields", [{}, {"max_side": 120}, {"canvas": "1:1", "scale": 50}])
def test_the_subject_lies_on_the_photograph_blurred(fields: dict):
    cutout = photograph((400, 300), (150, 100, 250, 200))
    rendition = Rendition(background="blur", **fields)
    image = Image.open(io.BytesIO(encode(render(cutout, rendition), rendition))).convert("RGB")
    width, height = image.size
    assert image.getpixel((width // 2, height // 2)) == RED
    left, right = image.getpixel((1, 1)), image.getpixel((width - 2, 1))
    assert left[2] > 150 > left[0]
    assert right[1] > 150 > right[0]
