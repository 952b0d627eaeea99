import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from worker.imaging.refine import LEVELS, TILE, refine

SIDE = 320


def disc(size: tuple[int, int], softness: float = 0.5) -> np.ndarray:
    """Exact alpha of a disc: float32 [height, width], 0..1."""
    width, height = size
    down, across = np.mgrid[0:height, 0:width]
    radius = np.hypot(down - height * 0.45, across - width * 0.55)
    return np.clip((min(size) * 0.3 - radius) / (2 * softness) + 0.5, 0, 1).astype(np.float32)


def photograph(alpha: np.ndarray, seed: int = 1) -> Image.Image:
    """A red object before a green background, with a sensor's noise."""
    colours = alpha[..., np.newaxis] * [190, 60, 50] + (1 - alpha[..., np.newaxis]) * [70, 150, 90]
    colours += np.random.default_rng(seed).normal(0, 3, colours.shape)
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8))


def seen_by_network(alpha: np.ndarray) -> np.ndarray:
    """Shrink to the network's size, a little soft, as networks' mattes are."""
    image = Image.fromarray(alpha * 255).resize((SIDE // 2, SIDE // 2), Image.Resampling.BOX)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).clip(0, 255)


def whole(image: Image.Image) -> tuple[int, int, int, int]:
    return (0, 0, *image.size)


def error(matte: Image.Image, alpha: np.ndarray) -> float:
    """Mean absolute error near the true edge, 0..1."""
    near = np.asarray(Image.fromarray(alpha * 255).convert("L").reduce(8)) % 255 != 0
    band = np.kron(near, np.ones((8, 8), bool))[: alpha.shape[0], : alpha.shape[1]]
    return float(np.abs(np.asarray(matte, np.float32) / 255 - alpha)[band].mean())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1200, 900), (900, 1400), (2400, 1600)])
def test_an_edge_is_found_at_full_resolution(size: tuple[int, int]):
    alpha = disc(size)
    image, view = photograph(alpha), seen_by_network(alpha)
    refined = refine(image, view, whole(image))
    assert (refined.mode, refined.size) == ("L", size)
    enlarged = Image.fromarray(view).resize(size, Image.Resampling.BICUBIC).convert("L")
    assert error(refined, alpha) < 0.4 * error(enlarged, alpha)


def test_a_small_photograph_is_refined_like_a_larger_one_of_the_same_scene():
    large = photograph(disc((640, 480), softness=10))
    view = seen_by_network(disc((640, 480), softness=10))
    small = large.reduce(2)
    expected = refine(large, view, whole(large)).reduce(2)
    refined = refine(small, view, whole(small))
    difference = np.asarray(refined, np.float32) - np.asarray(expected, np.float32)
    assert np.abs(difference).mean() < 0.1


@pytest.mark.slow
def test_golden_values():
    """Pixels across the disc's edge; another value means that PIPELINE must rise."""
    alpha = disc((960, 720))
    refined = np.asarray(refine(photograph(alpha), seen_by_network(alpha), (0, 0, 960, 720)), int)
    row = refined[324, 528 - 216 - 8 : 528 - 216 + 8]
    assert row.tolist() == pytest.approx(GOLDEN, abs=4)


GOLDEN = [0] * 8 + [147] + [255] * 7


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_matte_stays_as_it_is(value: int):
    image = Image.effect_noise((500, 400), 90).convert("RGB")
    refined = refine(image, np.full((SIDE, SIDE), value, np.float32), whole(image))
    assert refined.getextrema() == (value, value)


def test_outside_of_the_box_is_background():
    alpha = disc((800, 600))
    image, box = photograph(alpha), (200, 100, 650, 500)
    view = np.full((SIDE, SIDE), 255, np.float32)
    refined = np.array(refine(image, view, box))
    assert (refined[100:500, 200:650] == 255).all()
    refined[100:500, 200:650] = 0
    assert not refined.any()


@pytest.mark.slow
def test_tiles_leave_no_seams(monkeypatch):
    alpha = disc((1100, 830), softness=20)
    image, view = photograph(alpha), seen_by_network(alpha)
    tiled = np.asarray(refine(image, view, whole(image)), int)
    monkeypatch.setattr("worker.imaging.refine.TILE", 640)
    at_once = np.asarray(refine(image, view, whole(image)), int)
    assert np.abs(tiled - at_once).max() <= 1


@pytest.mark.slow
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_any_size_and_any_picture_gives_a_matte(width: int, height: int, seed: int):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, rng.choice([1, 2, 256]), (height, width, 3), np.uint8)
    view = rng.choice(np.float32([0, 128, 255]), (16, 16))
    image = Image.fromarray(picture)
    assert refine(image, view, whole(image)).size == (width, height)


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000), (30_000, 20)])
def test_a_strip_is_refined_too(size: tuple[int, int]):
    image = Image.new("RGB", size, "red")
    view = np.full((SIDE, SIDE), 255, np.float32)
    assert refine(image, view, whole(image)).getextrema() == (255, 255)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_photograph_but_for_the_matte():
    peaks = {}
    view = seen_by_network(disc((640, 640)))
    for side in (1500, 5000):
        image = Image.new("RGB", (side, side), (120, 130, 90))
        tracemalloc.start()
        refine(image, view, whole(image))
        peaks[side] = tracemalloc.get_traced_memory()[1] - side * side
        tracemalloc.stop()
    assert peaks[5000] < peaks[1500] + 30_000_000


@pytest.mark.slow
def test_a_long_strip_needs_no_more_memory(monkeypatch):
    image = Image.new("RGB", (26_000, 600), (120, 130, 90))
    view = np.linspace(0, 255, SIDE, dtype=np.float32)[:, np.newaxis].repeat(SIDE, axis=1)
    tracemalloc.start()
    at_once = np.asarray(refine(image, view, whole(image)), int)
    assert tracemalloc.get_traced_memory()[1] < 200_000_000
    tracemalloc.stop()
    monkeypatch.setattr("worker.imaging.refine.MAX_RUN_PIXELS", 1)
    assert np.abs(np.asarray(refine(image, view, whole(image)), int) - at_once).max() <= 1


def test_a_tile_is_wider_than_the_filter_reaches():
    assert all(2 * level.radius + 2 <= TILE for level in LEVELS)
