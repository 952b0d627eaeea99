"""What a session makes of what the network returns."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contract.errors import ErrorCode, RetryableError
from contract.quality import Quality
from worker.imaging.arrays import Float32Array
from worker.models.registry import find
from worker.models.session import Session


class Network:
    """Calls the middle the subject, with one value of its own."""

    def __init__(self, value: float) -> None:
        self._value = value

    def run(self, tensor: Float32Array) -> Float32Array:
        saliency = np.zeros((1, 1, *tensor.shape[2:]), np.float32)
        saliency[..., 100:200, 100:200] = 1
        saliency[..., 150, 150] = self._value
        return saliency


def session(monkeypatch: pytest.MonkeyPatch, value: float) -> Session:
    monkeypatch.setattr("worker.models.session.open_network", lambda *_: Network(value))
    return Session(find("u2netp"), Path("u2netp.onnx"), "", 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_returns_no_numbers_has_failed(monkeypatch, value: float):
    with pytest.raises(RetryableError) as caught:
        session(monkeypatch, value).matte(Image.new("RGB", (40, 30)), Quality())
    assert caught.value.code is ErrorCode.PROVIDER_FAILED


def test_a_network_that_returns_numbers_has_not(monkeypatch):
    quality = Quality(refine="none")
    matte = session(monkeypatch, 1).matte(Image.new("RGB", (40, 30)), quality)
    assert matte.alpha.getextrema() == (0, 255)
