import os
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
    assert (len(photographs.used), len(photographs.held_out)) == (38, 24)  # every second of 75
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


def test_what_is_no_photograph_is_not_counted_and_what_vanishes_is_skipped(tmp_path: Path):
    folder(tmp_path, 4)
    for number in range(4):
        (tmp_path / f"{number:03d}.xmp").write_text("beside each photograph")
    os.mkfifo(tmp_path / "000.fifo")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    photographs = Photographs(tmp_path, MODEL, Limits())
    assert (len(photographs.used), len(photographs.held_out)) == (3, 1)
    assert photographs.names == ["000.png", "001.png", "002.png"]
    (tmp_path / "000.png").unlink()
    assert photographs.batch(0).shape == (BATCH, 3, 320, 320)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(CutoutError, match="None of the photographs to train on"):
        photographs.batch(0)


def test_a_held_out_photograph_that_cannot_be_decoded_is_named_as_such(tmp_path: Path):
    last = folder(tmp_path, 4) / "003.png"
    last.write_bytes(last.read_bytes()[:200])
    with pytest.raises(CutoutError, match="None of the photographs that are held out in"):
        Photographs(tmp_path, MODEL, Limits())


@pytest.mark.parametrize("name", ["000.png", "missing"])
def test_what_is_no_folder_is_an_error(tmp_path: Path, name: str):
    with pytest.raises(CutoutError, match="is no folder") as caught:
        Photographs(folder(tmp_path, 4) / name, MODEL, Limits())
    assert caught.value.code is ErrorCode.NOTHING_TO_DO
