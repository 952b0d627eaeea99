import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.imaging.guided_filter import coefficients


def noise(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def box_mean(values: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    margins = [(radius, radius)] * 2 + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, margins, "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (0, 1))
    return windows.mean((-2, -1))


def by_definition(guide: np.ndarray, matte: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """The paper's formulas in float64, with a 3 x 3 inverse for each pixel."""
    colours, values = guide.astype(float), matte.astype(float)
    mean, mean_p = box_mean(colours, radius), box_mean(values, radius)
    products = box_mean(colours[..., :, np.newaxis] * colours[..., np.newaxis, :], radius)
    covariance = products - mean[..., :, np.newaxis] * mean[..., np.newaxis, :]
    with_matte = (
        box_mean(colours * values[..., np.newaxis], radius) - mean * mean_p[..., np.newaxis]
    )
    ridge = eps * 255**2 * np.eye(3)
    factors = np.linalg.solve(covariance + ridge, with_matte[..., np.newaxis])[..., 0]
    offset = mean_p - (factors * mean).sum(-1)
    return box_mean(np.dstack([factors, offset]), radius).transpose(2, 0, 1)


def whole(matte: np.ndarray) -> tuple[int, int, int, int]:
    return (0, 0, matte.shape[1], matte.shape[0])


def filtered(factors: np.ndarray, guide: np.ndarray) -> np.ndarray:
    return (factors[:3] * guide.transpose(2, 0, 1)).sum(0) + factors[3]


@pytest.mark.parametrize("radius", [1, 3, 6])
@pytest.mark.parametrize("eps", [1e-2, 1e-4, 1e-5])
@pytest.mark.parametrize("size", [(40, 31), (101, 17), (3, 2), (1, 9), (1, 1)])
def test_the_filter_is_the_papers(size: tuple[int, int], eps: float, radius: int):
    guide = noise(*size) // 3 + np.linspace(0, 150, size[1]).astype(np.uint8)[:, np.newaxis]
    matte = np.random.default_rng(2).uniform(0, 255, size).astype(np.float32)
    result = coefficients(guide, matte, radius, eps, whole(matte))
    assert (result.shape, result.dtype) == ((4, *size), np.float32)
    expected = filtered(by_definition(guide, matte, radius, eps), guide)
    np.testing.assert_allclose(filtered(result, guide), expected, atol=0.5)


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Flat, saturated, one differing pixel, one hue, stripes or noise."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = draw(st.sampled_from([(0, 0, 0), (255, 255, 255), (255, 0, 0), (7, 7, 8)]))
    match draw(st.sampled_from(["flat", "pixel", "hue", "stripes", "two", "noise"])):
        case "pixel":
            picture[rng.integers(height), rng.integers(width)] ^= 255
        case "hue":
            picture[:] = rng.integers(0, 256, (height, width, 1))
        case "stripes":
            picture[:, ::2] ^= 255
        case "two":
            picture[rng.random((height, width)) < 0.5] ^= 1
        case "noise":
            picture[:] = rng.integers(0, 256, picture.shape)
    return picture


@pytest.mark.slow
@given(
    pictures(), st.sampled_from([1e-6, 1e-5, 1e-4, 0.1]), st.integers(0, 2**32), st.integers(1, 6)
)
@settings(max_examples=200)
def test_every_value_is_finite_and_near_the_range_of_mattes(
    guide: np.ndarray, eps: float, seed: int, radius: int
):
    rng = np.random.default_rng(seed)
    matte = rng.choice(np.float32([0, 1e-6, 0.5, 254.9, 255]), guide.shape[:2])
    with np.errstate(all="raise", under="ignore"):
        result = filtered(coefficients(guide, matte, radius, eps, whole(matte)), guide)
    assert np.isfinite(result).all()
    assert np.abs(result - 127.5).max() < 10 * 255


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_matte_stays_constant(value: int):
    guide = noise(50, 60)
    matte = np.full((50, 60), value, np.float32)
    factors = coefficients(guide, matte, 6, 1e-5, whole(matte))
    np.testing.assert_allclose(filtered(factors, guide), value, atol=0.05)


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (20, 0, 60, 3), (0, 11, 5, 50), (13, 12, 47, 38), (59, 49, 60, 50)]
)
def test_a_part_has_the_values_of_the_whole(box: tuple[int, int, int, int]):
    guide = noise(50, 60)
    matte = np.random.default_rng(3).integers(0, 256, (50, 60)).astype(np.float32)
    left, top, right, bottom = box
    expected = coefficients(guide, matte, 6, 1e-4, whole(matte))[:, top:bottom, left:right]
    np.testing.assert_array_equal(coefficients(guide, matte, 6, 1e-4, box), expected)
