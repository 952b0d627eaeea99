"""What a network sees of a mirror image lies where it lies in the photograph."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from support.paths import SAMPLES

from contract.quality import Quality
from worker.imaging.matting import matte_of
from worker.models.registry import find
from worker.models.session import Session


def test_a_mirrored_view_lies_over_the_photograph(weights: Path) -> None:
    session = Session(find("u2netp"), weights / "u2netp.onnx", "", threads=1)
    quality = Quality(refine="none", passes=1)
    with Image.open(SAMPLES / "cat.jpg") as file:
        cat = file.convert("RGB")

    def mirrored(box):
        return session._predict(cat, box, mirrored=True)

    from_mirror = np.asarray(matte_of(cat, mirrored, quality).alpha) > 127
    of_mirror = np.asarray(session.matte(ImageOps.mirror(cat), quality).alpha) > 127
    direct = np.asarray(session.matte(cat, quality).alpha) > 127
    assert overlap(from_mirror, of_mirror[:, ::-1]) > 0.99
    assert overlap(from_mirror, direct) > 0.8 > overlap(from_mirror, direct[:, ::-1])


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())
