import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image
from support.paths import SAMPLES
from support.services import missing

from contract.errors import CutoutError, ErrorCode
from contract.quality import Quality
from worker.imaging.decode import Limits
from worker.models import weights as model_weights
from worker.models.graph.float_graph import FloatGraph
from worker.models.int8.calibrate import network_inputs
from worker.models.int8.quantize import build
from worker.models.registry import MODELS, Model, find
from worker.models.session import Session

INT8 = [model for model in MODELS.values() if model.quantized]


@pytest.fixture(scope="session")
def float_weights(weights: Path) -> Path:
    """The folder with the verified weights of U²-NetP and U²-Net."""
    try:
        model_weights.pull(find("u2net"), weights)
    except CutoutError as error:
        missing(str(error))
    return weights


def made(model: Model, folder: Path) -> bytes:
    assert model.quantized
    base = find(model.quantized.base)
    table = json.loads((model_weights.TABLES / model.quantized.table).read_text())
    graph = FloatGraph.read(folder / base.file)
    return build(graph, table["ranges"], model.normalisation)


def masks(model: Model, path: Path) -> list[np.ndarray]:
    session = Session(model, path, "", threads=1)
    photographs = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    return [
        np.asarray(session.matte(image, Quality(refine="none", passes=1)).alpha) > 127
        for image in photographs
    ]


def agreement(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return float(
        np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(first, second, strict=True)])
    )


# our own rows


@pytest.mark.parametrize("model", INT8, ids=[model.name for model in INT8])
def test_the_build_gives_the_pinned_bytes_each_time(float_weights: Path, model: Model):
    first = made(model, float_weights)
    assert f"sha256:{hashlib.sha256(first).hexdigest()}" == model.digest
    assert len(first) == model.size
    assert made(model, float_weights) == first


@pytest.mark.parametrize("model", INT8, ids=[model.name for model in INT8])
def test_the_graph_is_static_int8_with_a_scale_a_channel(float_weights: Path, model: Model):
    file = onnx.load_from_string(made(model, float_weights))
    onnx.checker.check_model(file, full_check=True)
    assert [(opset.domain, opset.version) for opset in file.opset_import] == [("", 17)]
    assert file.producer_version == ""
    operators = {node.op_type for node in file.graph.node}
    assert operators <= {
        "QuantizeLinear", "DequantizeLinear", "Conv", "MaxPool", "Resize", "Concat", "Add",
        "Sigmoid", "Slice",
    }  # fmt: skip
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    weights = [name.removesuffix(".scale") for name in arrays if name.endswith(".weight.scale")]
    convolutions = [node for node in file.graph.node if node.op_type == "Conv"]
    assert len(convolutions) - len(weights) <= 3  # two read a border channel; and the last
    for name in weights:
        weight, scale = arrays[name], arrays[f"{name}.scale"]
        assert (weight.dtype, scale.shape) == (np.int8, weight.shape[:1])
        assert np.abs(weight.astype(int)).max() <= 127
        assert not arrays[f"{name}.zero"].any()
    makers = {node.output[0]: node for node in file.graph.node}
    for node in file.graph.node:
        if node.op_type == "QuantizeLinear":
            assert arrays[node.input[2]].dtype == np.uint8
    assert [output.name for output in file.graph.output] == ["1959"]
    assert makers["1959"].op_type == "Sigmoid"


@pytest.mark.parametrize("model", INT8, ids=[model.name for model in INT8])
def test_masks_are_those_of_the_float_model(float_weights: Path, tmp_path: Path, model: Model):
    assert model.quantized
    assert model.loss
    base = find(model.quantized.base)
    path = model_weights.pull(model, tmp_path, str(float_weights))
    assert model_weights.verify(path, model) == model.digest.removeprefix("sha256:")
    assert model_weights.verify(tmp_path / base.file, base)
    assert agreement(masks(base, tmp_path / base.file), masks(model, path)) > 0.95


def test_a_build_that_gives_other_bytes_is_refused(weights: Path, tmp_path: Path, monkeypatch):
    table = json.loads((model_weights.TABLES / "u2netp.json").read_text())
    monkeypatch.setattr(model_weights, "TABLES", tmp_path)
    table["ranges"]["804"] = [[0, 1]]
    (tmp_path / "u2netp.json").write_text(json.dumps(table))
    with pytest.raises(CutoutError, match="u2netp-int8 has") as caught:
        model_weights.pull(find("u2netp-int8"), tmp_path, str(weights))
    assert caught.value.code is ErrorCode.MODEL_MISMATCH
    assert not (tmp_path / "u2netp-int8.onnx").exists()


def test_a_graph_that_is_no_u2net_is_refused(tmp_path: Path):
    value = helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("y", 1, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Gelu", ["x"], ["y"])], "other", [value], [out])
    onnx.save(helper.make_model(graph), str(tmp_path / "other.onnx"))
    with pytest.raises(CutoutError, match="Gelu") as caught:
        FloatGraph.read(tmp_path / "other.onnx")
    assert caught.value.code is ErrorCode.MODEL_MISMATCH


# the user's own photographs


def command(*arguments: str, models: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", "models", *arguments], check=False,
        capture_output=True, text=True, env={"CUTOUT_MODEL_DIR": str(models)},
    )  # fmt: skip


@pytest.mark.long
def test_a_table_from_photographs_gives_a_model_that_other_machines_build_alike(
    weights: Path, tmp_path: Path
):
    here, there = tmp_path / "here", tmp_path / "there"
    model, base = find("u2netp-int8"), find("u2netp")
    for folder in (here, there):
        folder.mkdir()
        (folder / base.file).symlink_to(weights / base.file)
    answer = command("quantize", "u2netp-int8", "--images", str(SAMPLES), models=here)
    assert answer.returncode == 0, answer.stderr
    assert "masks have IoU 0." in answer.stdout
    table = json.loads((here / "u2netp-int8.json").read_text())
    assert table["photographs"] == 3
    assert table["digest"] != model.digest
    assert model_weights.loss(model, here) != model.loss
    path = here / model.file
    assert model_weights.verify(path, model) == table["digest"].removeprefix("sha256:")
    assert agreement(masks(base, here / base.file), masks(model, path)) > 0.95
    # the table alone travels
    (there / "u2netp-int8.json").write_bytes((here / "u2netp-int8.json").read_bytes())
    assert model_weights.pull(model, there).read_bytes() == path.read_bytes()


@pytest.mark.long
def test_the_list_tells_speed_and_loss_of_what_is_here(weights: Path, tmp_path: Path):
    model_weights.pull(find("u2netp-int8"), tmp_path, str(weights))
    answer = command("list", "--json", models=tmp_path)
    assert answer.returncode == 0, answer.stderr
    rows = {row["name"]: row for row in json.loads(answer.stdout)}
    assert rows["u2netp-int8"]["milliseconds"] > 1
    assert rows["u2netp-int8"]["loss"] == {"iou": 0.9863, "mae": 0.002}
    assert (rows["u2net"]["milliseconds"], rows["u2net"]["loss"]) == (None, None)
    assert "0.986" in command("list", models=tmp_path).stdout


@pytest.mark.parametrize(
    ("name", "images", "message"),
    [
        ("u3net-int8", SAMPLES, "model_unknown: The model 'u3net-int8' does not exist."),
        ("u2netp", SAMPLES, "model_unknown: u2netp is not an INT8 model."),
        ("u2netp-lite-int8", SAMPLES, "model_unknown: u2netp-lite-int8 is made by"),
        ("u2netp-int8", SAMPLES.parent / "contract", "nothing_to_do: "),
        ("u2netp-int8", SAMPLES / "none", "nothing_to_do: "),
    ],
)
def test_what_cannot_be_quantized_is_an_error(weights: Path, name: str, images: Path, message: str):
    answer = command("quantize", name, "--images", str(images), models=weights)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(f"cutout: {message}")
    assert not (weights / f"{name}.json").exists()


def test_too_few_photographs_are_counted(tmp_path: Path):
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no photograph")
    with pytest.raises(CutoutError, match="has 3 photographs") as caught:
        network_inputs(tmp_path, find("u2netp-int8"), Limits())
    assert caught.value.code is ErrorCode.NOTHING_TO_DO
