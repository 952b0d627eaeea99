import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.imaging.arrays import Uint8Array
from worker.imaging.cutout import Cutout, compose, joined
from worker.imaging.decode import Photograph


def pixels(cutout: Cutout) -> Uint8Array:
    return cutout.rows(0, cutout.size[1])


def image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Colours, matte and perhaps the source's own alpha, all of one size."""
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def plane() -> np.ndarray:
        # random values alone would hardly ever be 0 or 255
        values = rng.integers(0, 256, (height, width), np.uint8)
        return np.where(rng.random((height, width)) < 0.5, values, values // 128 * 255)

    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    return rgb, plane().astype(np.uint8), draw(st.sampled_from([None, plane().astype(np.uint8)]))


@given(cases())
def test_alpha_is_straight_and_hidden_colours_are_cleared(case):
    rgb, matte, own = case
    before = rgb.copy()
    photograph = Photograph(image(rgb), None if own is None else image(own))
    cutout = compose(photograph, image(matte))
    result = pixels(cutout)
    assert (result.shape, result.dtype) == ((*matte.shape, 4), np.uint8)
    product = matte / 255 * (1 if own is None else own / 255) * 255
    assert np.abs(result[..., 3] - product).max() < 1
    hidden = result[..., 3] == 0
    assert (result[hidden] == 0).all()
    assert (result[~hidden, :3] == rgb[~hidden]).all()
    assert (np.asarray(photograph.rgb) == before).all()
    assert cutout.foreground == pytest.approx(result[..., 3].mean() / 255)
    middle = matte.shape[0] // 2
    strips = [cutout.rows(0, middle), cutout.rows(middle, matte.shape[0])]
    assert (np.concatenate(strips) == result).all()


@pytest.mark.slow
def test_a_soft_subject_is_joined_in_bounded_memory():
    rgb = Image.effect_noise((1500, 1500), 60).convert("RGB")
    matte = Image.new("L", rgb.size, 128)
    matte.paste(255, (700, 700, 800, 800))
    cutout = compose(Photograph(rgb, None), matte, decontaminate=True)
    tracemalloc.start()
    whole = joined(cutout)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 4 * 1500 * 1500 + 60_000_000
    assert (pixels(whole) == pixels(cutout)).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(4000, 2501), (2501, 4000), (20_001, 100), (1999, 1601)])
def test_the_foreground_of_a_large_photograph_is_estimated_from_a_sample(size: tuple[int, int]):
    matte = Image.radial_gradient("L").resize(size).point(lambda alpha: 255 * (alpha < 100))
    cutout = compose(Photograph(Image.new("RGB", size), None), matte)
    assert cutout.foreground == pytest.approx(np.asarray(matte).mean() / 255, abs=0.001)


@pytest.mark.parametrize("alpha", [1, 128, 254, 255])
def test_colour_under_partial_alpha_is_the_photographs_own(alpha: int):
    photograph = Photograph(Image.new("RGB", (5, 1), (200, 100, 7)), None)
    result = pixels(compose(photograph, Image.new("L", (5, 1), alpha)))
    assert result.tolist() == [[[200, 100, 7, alpha]] * 5]


@pytest.mark.parametrize(
    ("matte", "own", "alpha"),
    [(255, 255, 255), (255, 100, 100), (100, 255, 100), (128, 128, 64), (0, 255, 0), (255, 0, 0)],
)
def test_the_sources_own_alpha_is_multiplied(matte: int, own: int, alpha: int):
    photograph = Photograph(Image.new("RGB", (1, 1), "white"), Image.new("L", (1, 1), own))
    result = pixels(compose(photograph, Image.new("L", (1, 1), matte)))
    assert result.tolist() == [[[255, 255, 255, alpha] if alpha else [0, 0, 0, 0]]]
