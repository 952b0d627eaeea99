"""Calibrates an INT8 model on photographs, and measures its loss on others."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from contract.errors import CutoutError, ErrorCode, PermanentError
from worker.imaging.arrays import Float32Array
from worker.imaging.decode import Limits, decode
from worker.imaging.u2net import MIN_RANGE, network_input
from worker.models.int8.float_graph import FloatGraph
from worker.models.int8.quantize import WEIGHT_LEVELS, Ranges, build
from worker.models.registry import Loss, Model
from worker.models.weights import locked

MIN_PHOTOGRAPHS = 4
HOLD_OUT_EVERY = 4
"""Every fourth photograph is held out of the calibration to measure the loss on."""
MARGIN = 1.02
"""Ranges are widened by this factor, as other photographs may exceed them a little."""
DIGITS = 4
"""Significant digits of a range; decimals of a loss."""
MASK_THRESHOLD = 0.5

Bounds = tuple[Float32Array, Float32Array]
"""The least and the greatest value of an activation, float32 [channels] each."""


def calibrate(model: Model, base: Path, images: Path, folder: Path, limits: Limits) -> Loss:
    """Build the INT8 `model` from the float model at `base` and the photographs below `images`.

    Writes the model and its calibration (`weights.own_calibration`) to `folder`; returns the loss
    on the held-out photographs. Raises PermanentError (`nothing_to_do`) if there are too few.
    """
    inputs = network_inputs(images, model, limits)
    used = [tensor for number, tensor in enumerate(inputs, 1) if number % HOLD_OUT_EVERY]
    ranges = measure_ranges(base, used)
    path, partial = folder / model.file, folder / f".{model.file}.new"
    content = build(base, ranges, model.normalisation)
    partial.write_bytes(content)
    loss = measure_loss(base, partial, inputs[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY])
    calibration = {
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "photographs": len(used), "loss": asdict(loss), "ranges": ranges,
    }  # fmt: skip
    with locked(path):
        path.with_suffix(".json").write_text(json.dumps(calibration, indent=1))
        partial.replace(path)
    return loss


def network_inputs(folder: Path, model: Model, limits: Limits) -> list[Float32Array]:
    """Return the network input, float32 [1, 3, side, side], of each photograph below `folder`.

    They are in the order of their paths. Files that cannot be decoded are skipped. Raises
    PermanentError (`nothing_to_do`) if there are fewer than four photographs.
    """
    inputs = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            photograph = decode(path.read_bytes(), limits)
        except CutoutError:
            continue
        inputs.append(network_input(photograph.rgb, model.side, model.normalisation))
    if len(inputs) < MIN_PHOTOGRAPHS:
        raise PermanentError(
            ErrorCode.NOTHING_TO_DO,
            f"{folder} has {len(inputs)} photographs; at least {MIN_PHOTOGRAPHS} are needed,"
            " better 50 or more.",
        )
    return inputs


def measure_ranges(base: Path, inputs: list[Float32Array]) -> Ranges:
    """Return the value ranges of the activations of the float model at `base`.

    `inputs`: network inputs, float32 [1, 3, side, side].
    """
    graph = FloatGraph.read(base)
    bounds = _observe(base, graph, inputs)
    with_constant_channel = _with_constant_channel(graph, bounds)
    for node in graph.nodes:
        if node.op_type == "Add":  # both operands get the range of the sum
            for name in node.input:
                del bounds[name]
    ranges: Ranges = {}
    for name, (low, high) in bounds.items():
        if name in with_constant_channel:
            lows = np.where(low > high / 2, low / MARGIN, 0)
            ranges[name] = [_rounded(*pair) for pair in zip(lows, high * MARGIN, strict=True)]
        else:
            ranges[name] = [_rounded(min(0, low.min()) * MARGIN, high.max() * MARGIN)]
    return ranges


def measure_loss(base: Path, int8: Path, inputs: list[Float32Array]) -> Loss:
    """Return the loss of the INT8 model at `int8` against the float model at `base`.

    `inputs`: network inputs, float32 [1, 3, side, side].
    """
    base_session, int8_session = _session(str(base)), _session(str(int8))
    ious, maes = [], []
    for tensor in inputs:
        a, b = _matte(base_session, tensor), _matte(int8_session, tensor)
        mask_a, mask_b = a > MASK_THRESHOLD, b > MASK_THRESHOLD
        union = float((mask_a | mask_b).sum())
        ious.append(float((mask_a & mask_b).sum()) / union if union else 1.0)
        maes.append(float(np.abs(a - b).mean()))
    return Loss(round(float(np.mean(ious)), DIGITS), round(float(np.mean(maes)), DIGITS))


def _observe(base: Path, graph: FloatGraph, inputs: list[Float32Array]) -> dict[str, Bounds]:
    """Return the bounds, over all inputs, of each activation that is stored as bytes."""
    *sides, _fused = (
        node.output[0] for node in graph.nodes
        if node.op_type == "Conv" and node.output[0] not in graph.relus
    )  # fmt: skip
    names = [node.output[0] for node in graph.nodes if node.op_type in {"Relu", "Add"}] + sides
    model = onnx.load(str(base))
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = _session(model.SerializeToString())
    bounds: dict[str, Bounds] = {}
    for tensor in inputs:
        for name, value in zip(names, session.run(names, {graph.input: tensor}), strict=True):
            low, high = value.min((0, 2, 3)), value.max((0, 2, 3))
            earlier_low, earlier_high = bounds.get(name, (low, high))
            bounds[name] = np.minimum(earlier_low, low), np.maximum(earlier_high, high)
    return bounds


def _with_constant_channel(graph: FloatGraph, bounds: dict[str, Bounds]) -> set[str]:
    """Return the activations with a nearly constant channel that needs a range of its own.

    U²-Nets detect the border of the picture by such a channel: inside, it cancels with an equally
    large bias; at the border it meets the zeros of the padding. The weights that read it are so
    large that, in one scale with them, those of all other channels would be rounded to zero.
    """
    names_found: set[str] = set()
    known = {name: (low, high, [name] * len(low)) for name, (low, high) in bounds.items()}
    for node in graph.nodes:
        sources = [known[name] for name in graph.inputs(node) if name in known]
        if not sources:
            continue
        low, high = (np.concatenate([source[i] for source in sources]) for i in (0, 1))
        names = [name for source in sources for name in source[2]]
        if node.op_type in {"MaxPool", "Resize", "Concat"}:
            known[node.output[0]] = low, high, names
        elif node.op_type == "Conv" and node.output[0] in graph.relus:
            weight = np.abs(graph.weights[node.input[1]]).max((0, 2, 3))
            constant = np.where(low > high / 2, weight * low, 0)
            if constant.max() > WEIGHT_LEVELS * np.median(weight * high):
                names_found.add(names[int(constant.argmax())])
    return names_found


def _session(model: str | bytes) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _matte(session: Any, tensor: Float32Array) -> Float32Array:
    """Return the fused map stretched to the full range 0..1: float32 [1, 1, side, side]."""
    output, source = session.get_outputs()[0].name, session.get_inputs()[0].name
    fused = session.run([output], {source: tensor})[0]
    low, high = fused.min(), fused.max()
    matte: Float32Array = (fused - low) / max(high - low, MIN_RANGE)
    return matte


def _rounded(low: float, high: float) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in (low, high)]
