"""Exported models compute what the original does, in the runtimes that exist here."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.paths import SAMPLES
from typer.testing import CliRunner

from contract.errors import ErrorCode, PermanentError
from worker.cli.main import app
from worker.imaging.u2net import network_input, stretched
from worker.models.export import optional
from worker.models.export.writer import export
from worker.models.network import open_network, ort
from worker.models.registry import find

pytestmark = pytest.mark.slow

MODEL = find("u2netp")
MAX_BYTES = 30_000_000
MIN_IOU = 0.9


def tensor(side: int) -> np.ndarray:
    with Image.open(SAMPLES / "astronaut.jpg") as image:
        return network_input(image.convert("RGB"), side, MODEL.normalisation)


def by_onnx_runtime(path: Path, side: int) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return session.run([session.get_outputs()[0].name], {name: tensor(side)})[0][0, 0]


def by_litert(path: Path, side: int) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert tuple(source["shape"]) == (1, side, side, 3)
    interpreter.set_tensor(
        source["index"], np.ascontiguousarray(tensor(side).transpose(0, 2, 3, 1))
    )
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])[0, ..., 0]


def test_a_phone_gets_the_masks_of_the_original(weights: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CUTOUT_MODEL_DIR", str(weights))
    answer = CliRunner().invoke(
        app, ["models", "export", "u2netp", "--format", "tflite", str(tmp_path)]
    )
    assert answer.exit_code == 0, answer.output
    path = tmp_path / "u2netp-320.tflite"
    assert path.stat().st_size <= MAX_BYTES
    assert [path] == list(tmp_path.iterdir())

    original = open_network(MODEL, weights / MODEL.file, ("cpu",), 1).run(tensor(320))[0, 0]
    first, second = (stretched(map_) > 127 for map_ in (original, by_litert(path, 320)))
    assert (first & second).sum() / (first | second).sum() >= MIN_IOU


def test_all_formats_of_another_size_compute_the_same(weights: Path, tmp_path: Path):
    paths = {
        fmt: export(MODEL, weights / MODEL.file, fmt, 64, tmp_path)
        for fmt in ("onnx", "ort", "tflite")
    }
    expected = by_onnx_runtime(paths["onnx"], 64)
    assert expected.shape == (64, 64)
    assert np.ptp(expected) > 0.3
    assert np.abs(by_onnx_runtime(paths["ort"], 64) - expected).max() < 1e-4
    assert np.abs(by_litert(paths["tflite"], 64) - expected).max() < 1e-4


def test_onnx_of_the_models_own_size_is_the_official_file(weights: Path, tmp_path: Path):
    path = export(MODEL, weights / MODEL.file, "onnx", 320, tmp_path)
    assert path.read_bytes() == (weights / MODEL.file).read_bytes()


def test_another_onnx_size_has_the_weights_of_the_original(weights: Path, tmp_path: Path):
    # exported in the original's own size, the graph must give the same pixels
    from worker.models.graph import onnx_file
    from worker.models.graph.float_graph import FloatGraph

    onnx_file.write(FloatGraph.read(weights / MODEL.file), 320, tmp_path / "a.onnx")
    expected = by_onnx_runtime(weights / MODEL.file, 320)
    assert np.abs(by_onnx_runtime(tmp_path / "a.onnx", 320) - expected).max() < 1e-4


def test_a_core_ml_package_has_all_layers_and_weights(weights: Path, tmp_path: Path):
    path = export(MODEL, weights / MODEL.file, "coreml", 64, tmp_path)
    with optional.silenced():
        coremltools = optional.optional("coremltools")
        spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    assert list(spec.description.input[0].type.multiArrayType.shape) == [1, 3, 64, 64]
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    kinds = [operation.type for operation in block.operations]
    assert (kinds.count("conv"), kinds.count("concat"), kinds.count("add")) == (119, 51, 11)
    size = (path / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size
    assert 4_400_000 < size < 4_700_000


@pytest.mark.parametrize(
    ("name", "fmt", "side"),
    [("u2netp", "onnx", 100), ("u2netp-int8", "tflite", 320), ("u2netp-int8", "onnx", 256)],
)
def test_what_cannot_be_exported_is_an_error(tmp_path: Path, name, fmt, side):
    with pytest.raises(PermanentError) as caught:
        export(find(name), tmp_path / "weights.onnx", fmt, side, tmp_path / "out")
    assert caught.value.code is ErrorCode.EXPORT_UNSUPPORTED
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fmt", ["tflite", "coreml"])
def test_a_missing_extra_is_named_and_leaves_an_earlier_export(
    weights: Path, tmp_path: Path, monkeypatch, fmt
):
    suffix = {"tflite": "tflite", "coreml": "mlpackage"}[fmt]
    earlier = tmp_path / f"u2netp-64.{suffix}"
    earlier.touch()

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(optional, "import_module", missing)
    with pytest.raises(PermanentError) as caught:
        export(MODEL, weights / MODEL.file, fmt, 64, tmp_path)
    assert caught.value.code is ErrorCode.EXTRA_MISSING
    assert "export" in caught.value.message
    assert list(tmp_path.iterdir()) == [earlier]
