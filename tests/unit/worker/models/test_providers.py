"""Providers are what was asked for, or an error with its code: nothing else steps in."""

from pathlib import Path

import numpy as np
import pytest
from support import stand_in

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.settings import Provider, Settings
from worker import runtime
from worker.models import network, provider_check, providers
from worker.models.network import OnnxNetwork, open_network
from worker.models.provider_check import compare
from worker.models.providers import MAX_LEVELS, provider_mark
from worker.models.registry import Model, find
from worker.models.session import Session

MODEL = find("u2netp")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "stand-in.onnx"
    path.write_bytes(stand_in.network())
    return path


@pytest.fixture
def idle_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `cuda` be a provider that ONNX Runtime has everywhere, and that computes no layer."""
    monkeypatch.setitem(providers.ONNX_RUNTIME_NAMES, "cuda", "AzureExecutionProvider")


@pytest.fixture
def absent_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `cuda` be listed as installed although ONNX Runtime cannot start it."""
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(providers.ort, "get_available_providers", lambda: listed)


def error_of(weights: Path, *names: Provider) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        Session(MODEL, weights, "", 1, names)
    assert caught.value.code is ErrorCode.PROVIDER_MISSING
    assert "CUTOUT_PROVIDERS=cpu" in str(caught.value)
    return caught.value


# missing


@pytest.mark.parametrize("names", [("cuda",), ("cuda", "cpu"), ("tensorrt", "cuda", "cpu")])
def test_a_provider_that_is_not_installed_is_an_error(weights: Path, names):
    assert f"{names[0]!r} is not installed" in error_of(weights, *names).message


def test_openvino_that_is_not_installed_is_an_error(weights: Path, monkeypatch):
    monkeypatch.setattr(providers, "find_spec", lambda _: None)
    assert "'openvino' is not installed" in error_of(weights, "openvino", "cpu").message


def test_a_worker_does_not_start_without_a_provider_of_its_setting(tmp_path: Path):
    config = Settings(providers="cuda,cpu", model_dir=tmp_path)
    with pytest.raises(PermanentError) as caught:
        runtime.prepare(config, 1, "w@host", quarantine=False)
    assert caught.value.code is ErrorCode.PROVIDER_MISSING  # before the weights, which lack too


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_onnx_runtime_replaces_silently_is_an_error(weights: Path, absent_provider):
    assert "did not start" in error_of(weights, "cuda", "cpu").message


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_cannot_compute_a_layer_needs_cpu_beside_it(weights: Path, idle_provider):
    assert "did not load u2netp" in error_of(weights, "cuda").message
    assert Session(MODEL, weights, "", 1, ("cuda", "cpu")).network.run(tensor()).shape[2:] == (
        64,
        64,
    )


# failing


def tensor() -> np.ndarray:
    return np.zeros((1, 3, stand_in.SIDE, stand_in.SIDE), np.float32)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("CUDA error 719: launch failure.\n at line 1"), RetryableError),
        (RuntimeError("CUDNN failure: out of memory"), MemoryError),
        (ZeroDivisionError(), ZeroDivisionError),
    ],
)
def test_a_provider_that_fails_is_told_from_a_fault_of_ours(
    weights: Path, idle_provider, monkeypatch, error: Exception, raised: type[Exception]
):
    loaded = open_network(MODEL, weights, ("cuda", "cpu"), 1)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(loaded._session, "run", fail)
    with pytest.raises(raised) as caught:
        loaded.run(tensor())
    if isinstance(caught.value, RetryableError):
        assert caught.value.code is ErrorCode.PROVIDER_FAILED
        assert caught.value.message == "cuda,cpu failed: CUDA error 719: launch failure."


def test_a_failure_of_onnx_runtime_is_retried_elsewhere_unless_cpu_is_alone(
    weights: Path, idle_provider
):
    wrong = tensor()[:, :1]  # for which ONNX Runtime raises an error of its own
    with pytest.raises(RetryableError) as caught:
        open_network(MODEL, weights, ("cuda", "cpu"), 1).run(wrong)
    assert caught.value.code is ErrorCode.PROVIDER_FAILED
    with pytest.raises(Exception, match="INVALID_ARGUMENT") as raised:
        open_network(MODEL, weights, ("cpu",), 1).run(wrong)
    assert not isinstance(raised.value, RetryableError)


# pixels


@pytest.mark.parametrize(
    ("model", "names", "mark"),
    [
        ("u2netp", ("cpu",), ""),
        ("u2netp-int8", ("cpu",), ""),
        ("u2netp", ("openvino",), ""),
        ("u2netp", ("openvino", "cpu"), ""),
        ("u2netp-int8", ("openvino", "cpu"), "openvino 2026.9.1"),
        ("u2netp", ("cuda", "cpu"), f"cuda {providers.ort.__version__}"),
        ("u2netp", ("tensorrt", "cuda", "cpu"), f"tensorrt cuda {providers.ort.__version__}"),
    ],
)
def test_outputs_name_providers_with_other_pixels(monkeypatch, model, names, mark):
    monkeypatch.setattr(providers.metadata, "version", {"openvino": "2026.9.1"}.__getitem__)
    assert provider_mark(find(model), names) == mark


class Shifted(OnnxNetwork):
    """Computes a map that is brighter towards the right than it should be."""

    amount = 0.0

    def __init__(self, model: Model, weights: Path, _: object, threads: int) -> None:
        super().__init__(model, weights, ("cpu",), threads)

    def run(self, tensor):
        saliency = super().run(tensor)
        return saliency + np.linspace(0, self.amount, saliency.shape[3], dtype=np.float32)


@pytest.mark.parametrize(("amount", "within"), [(0.0, True), (0.05, False)])
def test_a_provider_that_changes_pixels_is_measured(weights, monkeypatch, amount, within):
    monkeypatch.setattr(network, "OpenVinoNetwork", Shifted)
    monkeypatch.setattr(network, "require_installed", lambda _: None)
    monkeypatch.setattr(Shifted, "amount", amount)
    small = stand_in.row(MODEL)
    assert (compare(small, weights, ("openvino",)).levels <= MAX_LEVELS) is within


@pytest.mark.slow
def test_the_pictures_that_are_compared_are_always_the_same():
    first, second = (list(provider_check.pictures()) for _ in range(2))
    assert [picture.tobytes() for picture in first] == [picture.tobytes() for picture in second]
    assert {picture.mode for picture in first} == {"RGB"}
