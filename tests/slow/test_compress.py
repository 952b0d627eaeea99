import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from support.paths import SAMPLES
from support.services import until

from worker.imaging.decode import Limits
from worker.models.compress.differentiable import run
from worker.models.graph.float_graph import FloatGraph
from worker.models.int8.calibrate import mattes_of, network_inputs
from worker.models.registry import find
from worker.models.weights import verify

LITE = find("u2netp-lite-int8")


def command(*arguments: str, models: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", "models", *arguments], check=False,
        capture_output=True, text=True, env={"CUTOUT_MODEL_DIR": str(models), **env},
    )  # fmt: skip


@pytest.mark.long
def test_compress_builds_a_smaller_model_from_photographs(weights: Path, tmp_path: Path):
    (tmp_path / "u2netp.onnx").symlink_to(weights / "u2netp.onnx")
    answer = command(
        "compress", "u2netp", "--images", str(SAMPLES), "--target", "0.6", "--steps", "3",
        models=tmp_path,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    first, *_, result = answer.stdout.splitlines()
    assert first == "0.81 of the multiplications"
    assert "It has 0.59 of the multiplications of u2netp." in result
    own = json.loads((tmp_path / "u2netp-lite-int8.json").read_text())
    assert (
        own["loss"]["iou"] > 0.6
    )  # a few photographs and steps; without the training's scaling, 0.1
    assert own["digest"] == f"sha256:{verify(tmp_path / LITE.file, LITE)}"
    assert (tmp_path / LITE.file).stat().st_size < 1_408_815  # that of u2netp-int8
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert left == {"u2netp.onnx", LITE.file, "u2netp-lite-int8.json"}


@pytest.mark.long
@pytest.mark.parametrize(("line", "seconds"), [("0.81 ", 0), ("0.52 ", 5), ("0.52 ", 30)])
def test_ctrl_c_ends_it_with_a_sentence(weights: Path, tmp_path: Path, line: str, seconds: int):
    """While channels are removed, while JAX compiles, while it trains: about these moments."""
    (tmp_path / "u2netp.onnx").symlink_to(weights / "u2netp.onnx")
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "models", "compress", "u2netp", "--images", str(SAMPLES)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={"CUTOUT_MODEL_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        try:
            until(lambda: process.stdout.readline().startswith(line), 200)
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert errors == "Interrupted. The same command goes on with what was trained.\n"
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("u2net",), "model_unknown: u2net has no lite model."),
        (("u2netp-int8",), "model_unknown: u2netp-int8 has no lite model."),
        (("u2netp", "--images", str(SAMPLES / "none")), "nothing_to_do: "),
    ],
)
def test_what_cannot_be_compressed_is_an_error(
    weights: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
):
    (tmp_path / "u2netp.onnx").symlink_to(weights / "u2netp.onnx")
    answer = command("compress", "--images", str(SAMPLES), *arguments, models=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(f"cutout: {message}")
    assert not (tmp_path / LITE.file).exists()


def test_without_jax_it_says_what_to_install(weights: Path, tmp_path: Path):
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('jax')")
    answer = command(
        "compress", "u2netp", "--images", str(SAMPLES), models=weights, PYTHONPATH=str(tmp_path)
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("cutout: extra_missing: JAX is not installed")


def test_jax_computes_what_onnx_runtime_computes(weights: Path):
    graph = FloatGraph.read(weights / "u2netp.onnx")
    inputs = network_inputs(SAMPLES, find("u2netp"), Limits())[:2]
    arrays = {
        name: jnp.asarray(graph.weights[name])
        for node in graph.convolutions
        for name in node.input[1:]
    }
    computed = run(graph, arrays, jnp.asarray(np.concatenate(inputs)), [graph.output])
    expected_mattes = mattes_of(graph, inputs)
    for one, expected in zip(np.asarray(computed[graph.output]), expected_mattes, strict=True):
        stretched = (one - one.min()) / (one.max() - one.min())
        np.testing.assert_allclose(stretched, expected[0], atol=1e-3)
