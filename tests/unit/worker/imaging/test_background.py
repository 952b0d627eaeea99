import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.imaging.background import over_background

COLOURS = st.tuples(*[st.integers(0, 255)] * 4)


def exact(pixels: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
    """Porter and Duff's `over`, in floats: straight alpha, 0..255."""
    above = pixels[..., 3:] / 255
    below = colour[3] / 255 * (1 - above)
    both = above + below
    with np.errstate(invalid="ignore"):
        blend = (pixels[..., :3] * above + np.array(colour[:3]) * below) / both
    return np.where(both * 255 < 0.5, 0, np.dstack([blend, both * 255]))


@given(COLOURS, st.integers(0, 2**32), st.sampled_from([None, 0, 255]))
def test_a_background_is_the_exact_one_rounded(colour: tuple, seed: int, alpha: int | None):
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 11, 4), np.uint8)
    if alpha is not None:
        pixels[..., 3] = alpha
    before = pixels.copy()
    for over in (colour, (*colour[:3], 255)):
        result = over_background(pixels, over)
        assert (result.shape, result.dtype) == (pixels.shape, np.uint8)
        assert np.abs(result - exact(pixels, over)).max() <= 0.5 + 1e-9
    assert (pixels == before).all()


def test_every_alpha_over_every_value_is_the_nearest():
    values, alphas = np.mgrid[0:256, 0:256].astype(np.uint8)
    pixels = np.dstack([values, values, values, alphas])
    for behind in (0, 1, 127, 254, 255):
        result = over_background(pixels, (behind, behind, behind, 255))[..., 0]
        expected = values / 255 * alphas + behind * (1 - alphas / 255)
        assert np.abs(result - expected).max() <= 0.5 + 1e-9
