import numpy as np
import pytest
from PIL import Image, ImageDraw

from worker.imaging import plain_background
from worker.imaging.plain_background import SUBJECT_DIFFERENCE, measure_on

WHITE = (255, 255, 255)


def picture(size: tuple[int, int] = (200, 160)) -> Image.Image:
    """A red box on white: 100 of 200 pixels wide, 48 of 160 high."""
    image = Image.new("RGB", size, WHITE)
    image.paste((200, 30, 40), (50, 56, 150, 104))
    return image


def test_a_subject_on_pure_white():
    measured = measure_on(picture(), WHITE)
    assert measured.impure_pixels == measured.largest_difference == 0
    assert measured.background_pixels > 15_000
    assert measured.fill == 50
    assert measured.touched_sides == ()
    assert measured.soft_edge == 0


@pytest.mark.parametrize("difference", [1, 5, SUBJECT_DIFFERENCE])
def test_a_single_impure_pixel_of_the_background_is_found(difference: int):
    image = picture()
    image.putpixel((10, 10), (255, 255, 255 - difference))
    measured = measure_on(image, WHITE)
    assert (measured.impure_pixels, measured.largest_difference) == (1, difference)
    assert measured.fill == 50


def test_pixels_beside_the_subject_are_not_the_backgrounds():
    """A JPEG's blocks: what an edge does to its own block, and to those it touches."""
    image = picture()
    image.putpixel((46, 60), (250, 250, 250))
    assert measure_on(image, WHITE).impure_pixels == 0
    image.putpixel((30, 60), (250, 250, 250))
    assert measure_on(image, WHITE).impure_pixels == 1


def test_the_edge_is_wider_in_a_larger_picture():
    """One pixel of a network's matte covers ten pixels of a picture of 3,200."""
    image = Image.new("RGB", (1600, 200), WHITE)
    image.paste((200, 30, 40), (800, 80, 880, 120))
    image.putpixel((789, 100), (250, 250, 250))
    assert measure_on(image, WHITE).impure_pixels == 0
    image.putpixel((770, 100), (250, 250, 250))
    assert measure_on(image, WHITE).impure_pixels == 1


def test_an_off_white_background_has_no_pure_pixel():
    image = picture()
    off_white = Image.new("RGB", image.size, (254, 254, 254))
    subject = image.getchannel(1).point([255] * 200 + [0] * 56)
    grey = Image.composite(image, off_white, subject)
    measured = measure_on(grey, WHITE)
    assert measured.impure_pixels == measured.background_pixels
    assert measured.largest_difference == 1


def test_the_inside_of_the_subject_may_be_of_any_colour():
    image = Image.new("RGB", (200, 200), WHITE)
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 180, 180), fill=(200, 30, 40))
    draw.ellipse((60, 60, 140, 140), fill=(253, 253, 253))  # a white label, or a handle's opening
    measured = measure_on(image, WHITE)
    assert measured.impure_pixels == 0
    assert measured.fill == pytest.approx(80.5)


def test_the_background_is_followed_around_every_corner():
    maze = np.array([[cell == "." for cell in row] for row in (
        "#######",
        "......#",
        "#####.#",
        "#.....#",
        "#.#####",
        "#...#.#",
        "#######",
    )])  # fmt: skip
    reached = plain_background.reached_from_sides(maze)
    expected = maze.copy()
    expected[5, 5] = False  # enclosed
    assert (reached == expected).all()


def test_sides_that_the_subject_touches_are_named():
    image = picture()
    image.paste((0, 0, 0), (0, 60, 60, 70))
    image.paste((0, 0, 0), (60, 100, 70, 160))
    assert measure_on(image, WHITE).touched_sides == ("left", "bottom")


def test_a_faint_rim_is_measured():
    image = picture()
    wide = Image.new("RGB", image.size, WHITE)
    wide.paste((230, 230, 230), (34, 40, 166, 120))
    wide.paste(image.crop((50, 56, 150, 104)), (50, 56))
    assert measure_on(wide, WHITE).soft_edge > 6


def test_a_light_product_has_no_faint_rim():
    image = Image.new("RGB", (200, 160), WHITE)
    image.paste((235, 235, 230), (34, 40, 166, 120))
    assert measure_on(image, WHITE).soft_edge == 0


def test_nothing_but_background():
    measured = measure_on(Image.new("RGB", (3, 9), WHITE), WHITE)
    assert (measured.fill, measured.background_pixels, measured.soft_edge) == (0, 27, 0)


def test_nothing_but_subject():
    measured = measure_on(Image.new("RGB", (30, 9)), WHITE)
    assert (measured.fill, measured.background_pixels) == (100, 0)
    assert measured.touched_sides == ("left", "top", "right", "bottom")


@pytest.mark.parametrize("colour", [(129, 212, 250), (0, 0, 0)])
def test_any_colour_can_be_the_background(colour: tuple[int, int, int]):
    image = Image.new("RGB", (100, 100), colour)
    image.paste((255, 30, 40), (20, 20, 80, 80))
    assert measure_on(image, colour).impure_pixels == 0
    image.putpixel((3, 3), (colour[0] + 2, colour[1], colour[2]))
    assert measure_on(image, colour).largest_difference == 2


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch):
    image = Image.fromarray(np.random.default_rng(1).integers(240, 256, (90, 70, 3), np.uint8))
    whole = measure_on(image, WHITE)
    monkeypatch.setattr(plain_background, "STRIP_PIXELS", 1)
    assert measure_on(image, WHITE) == whole
