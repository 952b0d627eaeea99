"""Which photographs need no network: cut out already, or on plain white."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from worker.imaging.decode import Limits, Photograph, decode
from worker.imaging.ready import ready_matte

SIZE = (200, 120)


def photograph(rgb: Image.Image, alpha: Image.Image | None = None) -> Photograph:
    return Photograph(rgb, alpha)


def drawn(background: str, box: tuple[int, int, int, int] = (50, 30, 150, 90)) -> Image.Image:
    image = Image.new("RGB", SIZE, background)
    ImageDraw.Draw(image).ellipse(box, fill="red")
    return image


def alpha(around: int, inside: int, box: tuple[int, int, int, int] = (50, 30, 150, 90)):
    image = Image.new("L", SIZE, around)
    ImageDraw.Draw(image).ellipse(box, fill=inside)
    return image


def jpeg(image: Image.Image, quality: int) -> Photograph:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return decode(file.getvalue(), Limits())


def test_a_cut_out_has_its_own_alpha():
    for on_white in (False, True):
        matte = ready_matte(photograph(drawn("blue"), alpha(0, 255)), on_white=on_white)
        assert matte.source == "transparency"
        assert matte.alpha.getextrema() == (255, 255)


NOT_CUT_OUT = {
    "opaque": alpha(255, 255),
    "a hole": alpha(255, 0),
    "a watermark": alpha(0, 60),
    "translucent around": alpha(128, 255),
    "rounded corners": Image.composite(
        alpha(255, 255), alpha(0, 0), alpha(0, 255, (-40, -40, 240, 160))
    ),
    "a speck": alpha(0, 255, (50, 50, 52, 52)),
}


@pytest.mark.parametrize("own", NOT_CUT_OUT.values(), ids=NOT_CUT_OUT)
def test_other_alphas_are_left_to_the_network(own: Image.Image):
    assert ready_matte(photograph(drawn("blue"), own), on_white=True) is None


@pytest.mark.parametrize("quality", [60, 95])
def test_a_subject_on_plain_white_is_what_is_not_white(quality: int):
    shown = jpeg(drawn("white"), quality)
    matte = ready_matte(shown, on_white=True)
    assert matte.source == "white"
    values = np.asarray(matte.alpha)
    assert matte.alpha.size == SIZE
    assert set(np.unique(values)) == {0, 255}
    red = np.asarray(drawn("white"))[..., 1] < 128
    assert (values[red] == 255).all()
    left, top, right, bottom = matte.alpha.getbbox()
    assert (50 - left, right - 151) <= (16, 16)
    assert (30 - top, bottom - 91) <= (16, 16)
    assert ready_matte(shown, on_white=False) is None


def test_white_inside_of_a_subject_belongs_to_it():
    image = drawn("white")
    ImageDraw.Draw(image).ellipse((80, 45, 120, 75), fill="white")
    assert ready_matte(photograph(image), on_white=True).alpha.getpixel((100, 60)) == 255


NOT_ON_WHITE = {
    "grey": drawn("#f0f0f0"),
    "coloured": drawn("#fffff0"),
    "nothing": Image.new("RGB", SIZE, "white"),
    "touching the frame": drawn("white", (-20, 30, 100, 90)),
    "filling it": drawn("white", (-80, -80, 280, 200)),
}


@pytest.mark.parametrize("image", NOT_ON_WHITE.values(), ids=NOT_ON_WHITE)
def test_other_photographs_are_left_to_the_network(image: Image.Image):
    assert ready_matte(photograph(image), on_white=True) is None


def test_it_is_found_strip_by_strip(monkeypatch):
    whole = ready_matte(photograph(drawn("white")), on_white=True)
    monkeypatch.setattr("worker.imaging.ready.STRIP_PIXELS", 1)
    assert ready_matte(photograph(drawn("white")), on_white=True).alpha == whole.alpha
