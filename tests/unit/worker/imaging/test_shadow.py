import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from contract.rendition import Rendition
from worker.imaging.background import over_shadow
from worker.imaging.cutout import Cutout
from worker.imaging.decode import Photograph
from worker.imaging.encode import encode
from worker.imaging.render import render
from worker.imaging.shadow import LAYERS, contact_shadow

SIZE = (600, 400)
BOX = (200, 100, 400, 300)
"""left, top, right, bottom of the subject: a square of 200 pixels"""
MIDDLE, BASE = 300, 300
UNDER_LINE = 1 - np.prod([1 - layer.opacity for layer in LAYERS])
"""opacity under a long straight underside"""


def alpha(*boxes: tuple[int, int, int, int], size=SIZE) -> Image.Image:
    image = Image.new("L", size, 0)
    for box in boxes or (BOX,):
        image.paste(255, box)
    return image


def drawn(image: Image.Image, corner=(0, 0), size=SIZE, *, cut=True) -> np.ndarray:
    """The opacity of a subject's shadow on an empty canvas, 0..255."""
    shadow = contact_shadow(image, corner, cut=cut)
    return shadow.under(np.zeros((size[1], size[0], 4), np.uint8), 0)[..., 3].astype(int)


def test_a_shadow_is_darkest_where_the_subject_touches_the_ground():
    shadow = drawn(alpha())
    below = shadow[BASE:, MIDDLE]
    assert below[0] == pytest.approx(255 * UNDER_LINE, rel=0.12)
    assert (np.diff(below) <= 0).all()
    assert below[60:].max() == 0
    assert shadow[: BASE - 60].max() == 0
    assert shadow[:, :100].max() == shadow[:, 500:].max() == 0


def test_a_symmetrical_subject_has_a_symmetrical_shadow():
    shadow = drawn(alpha())
    assert np.abs(shadow - shadow[:, ::-1]).max() <= 1


def test_the_shadow_moves_with_the_subject():
    moved = drawn(alpha(), corner=(30, -20))
    assert (moved[:380, 30:] == drawn(alpha())[20:, :570]).all()


def test_the_shadow_scales_with_the_subject():
    twice = tuple(2 * side for side in BOX)
    large = drawn(alpha(twice, size=(1200, 800)), size=(1200, 800))
    small = drawn(alpha())
    averaged = large.reshape(400, 2, 600, 2).mean(axis=(1, 3))
    assert np.abs(averaged - small)[BASE + 1 :].max() < 20


def test_a_part_in_the_air_throws_a_fainter_shadow_on_the_ground():
    shadow = drawn(alpha((200, 100, 300, 300), (300, 100, 400, 200)))
    assert shadow[BASE + 1, 250] > 3 * shadow[BASE + 1, 370] > 0
    assert shadow[202, 350] == 0


def test_a_foot_that_stands_farther_back_has_its_shadow_at_its_own_height():
    shadow = drawn(alpha((200, 100, 400, 180), (220, 180, 250, 300), (350, 180, 380, 278)))
    assert shadow[280, 365] > 100
    assert shadow[280, 365] > 2 * shadow[BASE + 2, 365]


@pytest.mark.parametrize(
    ("image", "cut"),
    [
        (alpha(size=SIZE).point(lambda _: 0), False),
        (alpha((200, 200, 400, 400)), True),
    ],
    ids=["no subject", "goes on below the photograph"],
)
def test_nothing_is_drawn_without_ground(image: Image.Image, cut: bool):
    assert contact_shadow(image, (0, 0), cut=cut) is None


def test_a_translucent_subject_has_no_shadow():
    assert contact_shadow(alpha().point(lambda value: value * 100 // 255), (0, 0), cut=True) is None


def test_a_translucent_part_below_the_subject_is_no_ground():
    reflected = alpha()
    reflected.paste(100, (200, 220, 400, 300))
    shadow = drawn(reflected)[:, MIDDLE]
    assert (shadow[221] > 150, shadow[302] < 10) == (True, True)


def test_a_subject_at_the_lower_edge_of_a_crop_has_ground():
    assert contact_shadow(alpha((200, 200, 400, 400)), (0, 0), cut=False) is not None


def test_a_subject_that_only_touches_the_lower_edge_has_ground():
    tip = alpha((200, 200, 400, 390), (290, 390, 310, 400))
    assert contact_shadow(tip, (0, 0), cut=True) is not None


def test_strips_of_any_height_are_those_of_the_whole():
    shadow = contact_shadow(alpha(), (0, 0), cut=True)
    pixels = np.random.default_rng(1).integers(0, 256, (400, 600, 4)).astype(np.uint8)
    whole = shadow.under(pixels, 0)
    for height in (1, 7, 400):
        strips = [shadow.under(pixels[top : top + height], top) for top in range(0, 400, height)]
        assert (np.concatenate(strips) == whole).all()


def test_black_lies_under_soft_pixels():
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 128]]], np.uint8)
    result = over_shadow(pixels, np.array([[128, 128, 255]], np.uint8))
    # an opaque pixel hides it; an empty one shows it; of a half opaque one over black, half is left
    assert result.tolist() == [[[200, 100, 0, 255], [0, 0, 0, 128], [100, 50, 0, 255]]]
    untouched = over_shadow(pixels, np.zeros((1, 3), np.uint8))
    assert untouched.tolist() == [[[200, 100, 0, 255], [0, 0, 0, 0], [200, 100, 0, 128]]]


def cutout() -> Cutout:
    return Cutout(Photograph(Image.new("RGB", SIZE, (180, 60, 60)), None), alpha())


def written(**fields) -> np.ndarray:
    rendition = Rendition(**fields)
    with Image.open(io.BytesIO(encode(render(cutout(), rendition), rendition))) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


@pytest.mark.parametrize("format_", ["png", "webp", "jpg"])
def test_every_format_shows_the_shadow_on_its_background(format_: str):
    plain = written(format=format_, background="#c0ffc0")
    shaded = written(format=format_, background="#c0ffc0", shadow="contact")
    light = 1 - drawn(alpha()) / 255
    below = np.s_[BASE + 6 : BASE + 40, MIDDLE - 60 : MIDDLE + 60]
    expected = np.array([0xC0, 0xFF, 0xC0]) * light[below][..., np.newaxis]
    assert np.abs(shaded[below][..., :3] - expected).max() < 12
    assert np.abs(shaded[:80] - plain[:80]).max() <= 1
    assert np.abs(shaded[150:250, 250:350] - plain[150:250, 250:350]).max() <= 1


def test_a_transparent_output_carries_the_shadow_in_its_alpha():
    shaded = written(shadow="contact")
    outside = np.asarray(alpha()) == 0
    assert (shaded[outside][:, 3] == drawn(alpha())[outside]).all()
    assert (shaded[outside][:, :3] == 0).all()
    assert (shaded[~outside] == [180, 60, 60, 255]).all()


def test_the_shadow_follows_a_subject_that_is_cropped_and_moved():
    placed = written(crop=True, crop_margin=("10%", "10%", "30%", "10%"), shadow="contact")
    assert placed.shape[:2] == (280, 240)
    assert placed[224, 120, 3] > 80
    scaled = written(scale=50, position=(50, 50), shadow="contact")
    assert scaled[300 + 4, 300, 3] > 80


@pytest.mark.parametrize("fields", [{"channels": "alpha"}, {"format": "zip"}])
def test_an_output_that_is_only_a_matte_has_no_shadow(fields):
    with pytest.raises(ValidationError, match="cannot have a shadow"):
        Rendition(shadow="contact", **fields)
