import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.forked import fork
from threadpoolctl import threadpool_info, threadpool_limits

from worker.imaging.lanczos import resize, weighted_tiles
from worker.runtime import use_one_blas_thread

sides = st.integers(1, 1500)
samples = st.integers(1, 400)


@given(sides, samples)
def test_tiles_cover_a_side_and_have_weights_for_all_their_samples(length: int, count: int):
    pixels = []
    for tile, weights in weighted_tiles(length, count):
        pixels += range(tile.start, tile.stop)
        assert 0 <= tile.first_sample < tile.end_sample <= count
        assert weights.shape == (tile.stop - tile.start, tile.end_sample - tile.first_sample)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert pixels == list(range(length))


@given(sides, samples, st.integers(0, 2**32 - 1))
def test_lines_are_resized_as_by_pillow(length: int, count: int, seed: int):
    lines = np.random.default_rng(seed).choice(np.uint8([0, 1, 90, 254, 255]), (count, 40))
    expected = Image.fromarray(lines).resize((40, length), Image.Resampling.LANCZOS)
    difference = resize(lines.astype(np.float32), length) - np.asarray(expected, int)
    assert np.abs(difference).max() <= 1


@pytest.mark.slow
def test_a_very_long_side_takes_little_memory():
    lines = np.full((320, 1), 7, np.float32)
    tracemalloc.start()
    try:
        resized = resize(lines, 3_000_000)
        assert tracemalloc.get_traced_memory()[1] < resized.nbytes + 10_000_000
    finally:
        tracemalloc.stop()
    assert (resized == 7).all()


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_constant_values_stay_constant(value: int):
    assert (resize(np.full((320, 7), value, np.float32), 3000) == value).all()


def test_products_of_matrices_use_one_thread_per_child():
    answer = fork.SimpleQueue()

    def threads() -> None:
        threadpool_limits(2, user_api="blas")
        use_one_blas_thread()
        answer.put([pool["num_threads"] for pool in threadpool_info()])

    child = fork.Process(target=threads)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert set(answer.get()) == {1}
