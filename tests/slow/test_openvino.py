from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.paths import SAMPLES

from contract.quality import Quality
from worker.models.provider_check import compare
from worker.models.providers import MAX_LEVELS
from worker.models.registry import find
from worker.models.session import Session

pytestmark = pytest.mark.slow


def test_mattes_of_a_float_model_count_as_those_of_cpu_rightly(weights: Path):
    model = find("u2netp")
    path = weights / model.file
    assert compare(model, path, ("openvino", "cpu")).levels <= MAX_LEVELS

    with Image.open(SAMPLES / "astronaut.jpg") as image:
        photograph = image.convert("RGB")
    mattes = [
        np.asarray(
            Session(model, path, "", 1, providers)
            .matte(photograph, Quality(refine="none", passes=1))
            .alpha,
            np.int16,
        )
        for providers in (("openvino",), ("cpu",))
    ]
    assert np.abs(mattes[0] - mattes[1]).max() <= 1
    assert mattes[1].max() == 255
