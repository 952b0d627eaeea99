from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contract.errors import CutoutError, ErrorCode
from worker.imaging.decode import Limits
from worker.models.compress.photographs import BATCH, WHOLE, Photographs
from worker.models.registry import find

MODEL = find("u2netp")


def folder(path: Path, count: int) -> Path:
    rng = np.random.default_rng(3)
    for number in range(count):
        pixels = rng.integers(0, 255, (40, 30, 3)).astype("u1")
        Image.fromarray(pixels).save(path / f"{number:03d}.png")
    (path / "000-notes.txt").write_text("no photograph")
    return path


def test_every_fourth_file_is_held_out_and_at_most_sixty_are_whole(tmp_path: Path):
    photographs = Photographs(folder(tmp_path, 99), MODEL, Limits())
    assert (len(photographs.used), len(photographs.held_out)) == (37, 25)  # every second of 75
    assert len(photographs.used) <= WHOLE
    assert photographs.used[0].shape == (1, 3, 320, 320)


def test_a_step_always_gets_the_same_cuts_and_another_step_others(tmp_path: Path):
    photographs = Photographs(folder(tmp_path, 8), MODEL, Limits())
    first = photographs.batch(3)
    assert first.shape == (BATCH, 3, 320, 320)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, photographs.batch(3))
    assert not np.array_equal(first, photographs.batch(4))


@pytest.mark.parametrize("count", [0, 2])
def test_too_few_are_an_error(tmp_path: Path, count: int):
    with pytest.raises(CutoutError, match=f"has {count} photographs") as caught:
        Photographs(folder(tmp_path, count), MODEL, Limits())
    assert caught.value.code is ErrorCode.NOTHING_TO_DO
