import numpy as np
import pytest
from forked import fork
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits

from worker.imaging.lanczos import resize, tiles, weights
from worker.runtime import keep_to_one_cpu

sides = st.integers(1, 1500)
samples = st.integers(1, 400)


@settings(max_examples=200, deadline=None)
@given(sides, samples)
def test_a_tile_sees_whatever_its_pixels_take(length: int, count: int):
    matrix = weights(length, count)
    assert (matrix.shape, matrix.dtype) == ((length, count), np.float32)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    pixels = []
    for start, stop, first, behind in tiles(length, count):
        pixels += range(start, stop)
        assert not matrix[start:stop, :first].any()
        assert not matrix[start:stop, behind:].any()
    assert pixels == list(range(length))


@settings(max_examples=100, deadline=None)
@given(sides, samples, st.integers(0, 2**32 - 1))
def test_lines_are_resized_as_by_pillow(length: int, count: int, seed: int):
    lines = np.random.default_rng(seed).choice(np.uint8([0, 1, 90, 254, 255]), (count, 40))
    wanted = Image.fromarray(lines).resize((40, length), Image.Resampling.LANCZOS)
    difference = resize(lines.astype(np.float32), length) - np.asarray(wanted, int)
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.005


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_what_is_constant_stays_so(value: int):
    assert (resize(np.full((320, 7), value, np.float32), 3000) == value).all()


def test_products_of_matrices_keep_to_the_childs_own_cpu():
    answer = fork.SimpleQueue()

    def threads() -> None:
        threadpool_limits(2, user_api="blas")
        keep_to_one_cpu()
        answer.put([pool["num_threads"] for pool in threadpool_info()])

    child = fork.Process(target=threads)
    child.start()
    child.join()
    assert set(answer.get()) == {1}
