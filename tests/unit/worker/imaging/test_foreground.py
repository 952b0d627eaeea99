import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from support.paths import SAMPLES

from worker.imaging.cutout import compose
from worker.imaging.decode import Photograph
from worker.imaging.foreground import estimate

SIZE = (900, 700)


def texture(name: str) -> np.ndarray:
    """A photograph as float32 [height, width, 3], 0..255."""
    image = Image.open(SAMPLES / name).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def strands(softness: float, seed: int = 3) -> np.ndarray:
    """Exact alpha of a disc with strands growing out of it: float32 [height, width], 0..1."""
    down, across = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    angle = np.arctan2(down - 350, across - 450)
    rng = np.random.default_rng(seed)
    reach = np.interp(angle, np.linspace(-np.pi, np.pi, 400), rng.uniform(180, 260, 400))
    mask = Image.fromarray((np.hypot(down - 350, across - 450) < reach).astype(np.uint8) * 255)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(softness)), np.float32) / 255


def composite(over: np.ndarray, under: np.ndarray, alpha: np.ndarray) -> Image.Image:
    share = alpha[..., np.newaxis]
    return Image.fromarray(np.rint(over * share + under * (1 - share)).astype(np.uint8))


def cut_out(photograph: Image.Image, alpha: np.ndarray, *, decontaminate: bool) -> np.ndarray:
    matte = Image.fromarray(np.rint(alpha * 255).astype(np.uint8))
    cutout = compose(Photograph(photograph, None), matte, decontaminate=decontaminate)
    return cutout.rows(0, photograph.height)


def colour_error(pixels: np.ndarray, over: np.ndarray) -> float:
    soft = (pixels[..., 3] > 12) & (pixels[..., 3] < 243)
    return float(np.abs(pixels[..., :3] - over)[soft].mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("over", "under", "softness"),
    [
        ("coffee.jpg", "rocket.jpg", 1), ("coffee.jpg", "rocket.jpg", 2),
        ("cat.jpg", "astronaut.jpg", 1),
    ],
)  # fmt: skip
def test_soft_pixels_lose_the_backgrounds_colour(over: str, under: str, softness: float):
    foreground, alpha = texture(over), strands(softness)
    photograph = composite(foreground, texture(under), alpha)
    kept = colour_error(cut_out(photograph, alpha, decontaminate=False), foreground)
    corrected = colour_error(cut_out(photograph, alpha, decontaminate=True), foreground)
    assert corrected < 0.4 * kept


@pytest.mark.slow
@pytest.mark.parametrize("background", [0, 128, 255])
@pytest.mark.parametrize("subject", [(200, 30, 30), (20, 20, 20), (240, 240, 240)])
def test_there_is_no_fringe_on_white_black_or_green(subject: tuple, background: int):
    """Laid over any background, an edge's colours lie between the subject's and that one's."""
    over = np.full((SIZE[1], SIZE[0], 3), subject, np.float32)
    alpha = strands(2)
    photograph = composite(over, np.full_like(over, background), alpha)
    pixels = cut_out(photograph, alpha, decontaminate=True)
    visible = pixels[pixels[..., 3] > 25][:, :3].astype(int)
    assert np.abs(visible - subject).max() <= 10


@pytest.mark.slow
def test_opaque_and_transparent_pixels_stay_as_they_are():
    alpha = strands(2)
    photograph = composite(texture("coffee.jpg"), texture("rocket.jpg"), alpha)
    kept = cut_out(photograph, alpha, decontaminate=False)
    corrected = cut_out(photograph, alpha, decontaminate=True)
    assert (kept[..., 3] == corrected[..., 3]).all()
    hard = (kept[..., 3] == 0) | (kept[..., 3] == 255)
    assert (kept[hard] == corrected[hard]).all()
    assert (kept[~hard] != corrected[~hard]).any()


@pytest.mark.slow
def test_strips_join_without_a_seam():
    alpha = strands(3)
    photograph = composite(texture("cat.jpg"), texture("rocket.jpg"), alpha)
    matte = Image.fromarray(np.rint(alpha * 255).astype(np.uint8))
    cutout = compose(Photograph(photograph, None), matte, decontaminate=True)
    strips = [cutout.rows(top, min(top + 90, SIZE[1])) for top in range(0, SIZE[1], 90)]
    assert (np.concatenate(strips) == cutout.rows(0, SIZE[1])).all()
    part = cutout.part((100, 50, 400, 300))
    assert (part == cutout.rows(0, SIZE[1])[50:300, 100:400]).all()


def test_a_photograph_with_transparency_of_its_own_keeps_its_colours():
    alpha = strands(3)
    photograph = composite(texture("cat.jpg"), texture("rocket.jpg"), alpha)
    matte = Image.fromarray(np.rint(alpha * 255).astype(np.uint8))
    own = Photograph(photograph, Image.new("L", SIZE, 255))
    pixels = compose(own, matte, decontaminate=True).rows(0, SIZE[1])
    assert (pixels == cut_out(photograph, alpha, decontaminate=False)).all()


@pytest.mark.slow
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_any_matte_can_be_corrected(width: int, height: int, seed: int):
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    matte = rng.choice(np.uint8(rng.choice([0, 1, 128, 254, 255], 2)), (height, width))
    photograph = Photograph(Image.fromarray(rgb), None)
    cutout = compose(photograph, Image.fromarray(matte), decontaminate=True)
    with np.errstate(all="raise", under="ignore"):
        pixels = cutout.rows(0, height)
    assert (pixels[..., 3] == matte).all()
    assert not pixels[matte == 0].any()


def test_a_matte_without_a_subject_has_no_foreground():
    assert estimate(Image.new("RGB", (30, 20)), Image.new("L", (30, 20), 0)) is None


@pytest.mark.slow
def test_memory_is_that_of_the_grid():
    peaks = {}
    for side in (1500, 6000):
        image = Image.new("RGB", (side, side), (90, 80, 30))
        matte = Image.radial_gradient("L").resize((side, side))
        tracemalloc.start()
        cutout = compose(Photograph(image, None), matte, decontaminate=True)
        cutout.rows(0, 1_000_000 // side)
        peaks[side] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[6000] < peaks[1500] * 1.5 + 50_000_000
