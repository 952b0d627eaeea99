import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.paths import SAMPLES

from worker.imaging.u2net import (
    CENTRED,
    IMAGENET,
    Normalisation,
    enlarged,
    network_input,
    stretched,
)

SAMPLE = SAMPLES / "coffee.jpg"
SIZES = [(1, 1), (1, 4480), (4480, 1), (319, 321), (320, 320), (451, 300), (640, 480), (2880, 1920)]


def noise(size: tuple[int, int], top: int = 256, seed: int = 1) -> Image.Image:
    width, height = size
    samples = np.random.default_rng(seed).integers(0, top, (height, width, 3), np.uint8)
    return Image.fromarray(samples)


def lanczos(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.LANCZOS)


def averaged(image: Image.Image, side: int) -> Image.Image:
    """Bring down by whole factors to no less than twice the side; strips stay as they are."""
    factors = [max(1, length // (2 * side)) for length in image.size]
    if any(length % factor for length, factor in zip(image.size, factors, strict=True)):
        raise ValueError("Choose a size that the factors divide.")
    return image.reduce(factors)


def matte(values: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """The matte of a network's output."""
    return enlarged(stretched(values), size)


def output(values: np.ndarray | list) -> np.ndarray:
    return np.asarray(values, np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("top", [256, 40], ids=["bright", "dark"])
def test_the_input_is_what_the_recipe_says(size: tuple[int, int], top: int):
    image = noise(size, top)
    result = network_input(image, 320, IMAGENET)
    assert (result.shape, result.dtype) == ((1, 3, 320, 320), np.float32)
    assert result.flags.c_contiguous
    small = np.array(lanczos(averaged(image, 320), 320)).astype(np.float64)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (small[:, :, channel] / small.max() - mean) / std
        np.testing.assert_allclose(result[0, channel], expected, atol=2e-6)


@pytest.mark.slow
def test_a_large_photographs_input_is_close_to_lanczos_alone():
    image = Image.open(SAMPLE).convert("RGB").resize((4000, 2500), Image.Resampling.BICUBIC)
    alone = np.asarray(lanczos(image, 320), np.float64) / 255
    result = network_input(image, 320, Normalisation((0, 0, 0), (1, 1, 1)))[0].transpose(1, 2, 0)
    assert np.abs(result * (alone.max()) - alone).mean() < 0.002


@pytest.mark.slow
def test_the_input_of_isnet_is_centred_and_not_divided():
    image = noise((200, 100))
    small = np.array(image.resize((1024, 1024), Image.Resampling.LANCZOS)).astype(np.float64)
    expected = (small / small.max() - 0.5).transpose(2, 0, 1)
    np.testing.assert_allclose(network_input(image, 1024, CENTRED)[0], expected, atol=2e-6)


def test_a_black_photograph_does_not_divide_by_zero():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = network_input(Image.new("RGB", (40, 30)), 320, IMAGENET)
    expected = -np.array(IMAGENET.mean) / np.array(IMAGENET.std)
    np.testing.assert_allclose(
        result[0].reshape(3, -1), expected[:, None].repeat(320 * 320, 1), 1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.2, 0.3), (-5, 1e6), (-1e-3, 1e-3)])
def test_the_matte_is_the_output_stretched_and_resized(
    size: tuple[int, int], low: float, high: float
):
    values = np.random.default_rng(2).uniform(low, high, (320, 320)).astype(np.float32)
    result = matte(output(values), size)
    assert (result.mode, result.size) == ("L", size)
    exact = values.astype(np.float64)
    stretched = (exact - exact.min()) / (exact.max() - exact.min()) * 255
    expected = Image.fromarray(stretched.round().astype(np.uint8)).resize(
        size, Image.Resampling.LANCZOS
    )
    difference = np.asarray(result, int) - np.asarray(expected, int)
    assert np.abs(difference).max() <= 1  # a sample halfway between two values may round either way


def test_the_matte_spans_all_values_at_the_networks_own_size():
    result = matte(output(np.linspace(3, 4, 320 * 320).reshape(320, 320)), (320, 320))
    assert result.getextrema() == (0, 255)
    assert (np.diff(np.asarray(result, int).ravel()) >= 0).all()


@pytest.mark.parametrize(
    "values",
    [
        np.full((320, 320), 0.7), np.zeros((320, 320)), np.full((320, 320), np.nan),
        np.where(np.eye(320), np.nan, 0.5), np.where(np.eye(320), np.inf, 0.5),
        np.where(np.eye(320), -np.inf, np.inf), 0.5 + np.eye(320) * 1e-7,
    ],
    ids=["constant", "zero", "all nan", "some nan", "some inf", "both inf", "all but constant"],
)  # fmt: skip
@pytest.mark.parametrize("size", [(1, 1), (30, 20)])
def test_an_output_without_a_subject_gives_an_empty_matte(values, size: tuple[int, int]):
    result = matte(output(values), size)
    assert (result.mode, result.size, result.getextrema()) == ("L", size, (0, 0))


@given(st.integers(1, 400), st.integers(1, 400), st.floats(-1e30, 1e30), st.floats(1e-3, 1e30))
def test_any_output_gives_a_matte_of_the_wanted_size(
    width: int, height: int, low: float, span: float
):
    values = low + span * np.random.default_rng(3).random((32, 32))
    assert matte(output(values), (width, height)).size == (width, height)


def disc(sharpness: float) -> np.ndarray:
    down, across = np.mgrid[0:320, 0:320]
    return np.clip((90 - np.hypot(down - 150, across - 170)) * sharpness, 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "size", [(1, 1), (7, 5), (451, 300), (300, 451), (319, 321), (1000, 700), (3651, 2739)]
)
@pytest.mark.parametrize("sharpness", [0.02, 1], ids=["soft", "sharp"])
def test_where_the_matte_is_constant_it_is_what_lanczos_makes_of_the_whole(size, sharpness: float):
    values = disc(sharpness)
    result = np.asarray(matte(output(values), size), int)
    whole = Image.fromarray(np.rint(values * 255).astype(np.uint8))
    expected = np.asarray(whole.resize(size, Image.Resampling.LANCZOS), int)
    # between the two ways both round
    assert np.abs(result - expected).max() <= 2
    assert (result == expected).mean() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1_000_000, 1), (1, 1_000_000)])
def test_a_strip_takes_memory_for_its_pixels_alone(size: tuple[int, int]):
    values = output(disc(1))
    tracemalloc.start()
    try:
        assert matte(values, size).size == size
        assert tracemalloc.get_traced_memory()[1] < 17_000_000
    finally:
        tracemalloc.stop()
