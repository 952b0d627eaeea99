"""Ranges of a model's activations from photographs, and what INT8 then loses on others."""

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

FEWEST = 4
HELD_BACK = 4
"""Every so-many-th photograph is not calibrated with but judged on."""
MARGIN = 1.02
"""Photographs to come may go a little further than those seen."""
DIGITS = 4
HALF = 0.5

Seen = tuple[Float32Array, Float32Array]
"""The least and the greatest values of an activation, float32 [channels] each."""


def calibrate(model: Model, base: Path, images: Path, folder: Path, limits: Limits) -> Loss:
    """Make the INT8 `model` of the float file at `base` from the photographs below `images`.

    Writes the file and its table (`store.own_table`) to `folder`; returns the loss on the
    photographs held back. Raises PermanentError (`nothing_to_do`) where there are too few.
    """
    inputs = photographs(images, model, limits)
    shown = [x for i, x in enumerate(inputs, 1) if i % HELD_BACK]
    ranges = measure(base, shown)
    path, partial = folder / model.file, folder / f".{model.file}.new"
    content = build(base, ranges, model.normalisation)
    partial.write_bytes(content)
    found = loss(base, partial, inputs[HELD_BACK - 1 :: HELD_BACK])
    table = {
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "photographs": len(shown), "loss": asdict(found), "ranges": ranges,
    }  # fmt: skip
    with locked(path):
        path.with_suffix(".json").write_text(json.dumps(table, indent=1))
        partial.replace(path)
    return found


def photographs(folder: Path, model: Model, limits: Limits) -> list[Float32Array]:
    """Return the network's input for every photograph in `folder` and below, by name.

    What is no photograph is passed over. Raises PermanentError (`nothing_to_do`) where fewer
    than four are left.
    """
    inputs = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            photograph = decode(path.read_bytes(), limits)
        except CutoutError:
            continue
        inputs.append(network_input(photograph.rgb, model.side, model.normalisation))
    if len(inputs) < FEWEST:
        raise PermanentError(
            ErrorCode.NOTHING_TO_DO,
            f"{folder} holds {len(inputs)} photographs; {FEWEST} are the least, 50 are good.",
        )
    return inputs


def measure(base: Path, inputs: list[Float32Array]) -> Ranges:
    """Return the table for the float model at `base` from what `inputs` make of it."""
    graph = FloatGraph.read(base)
    seen = _observe(base, graph, inputs)
    constants = _with_constants(graph, seen)
    for node in graph.nodes:
        if node.op_type == "Add":  # the file has both sides count in the steps of the sum
            for name in node.input:
                del seen[name]
    ranges: Ranges = {}
    for name, (low, high) in seen.items():
        if name in constants:
            lows = np.where(low > high / 2, low / MARGIN, 0)
            ranges[name] = [_pair(*pair) for pair in zip(lows, high * MARGIN, strict=True)]
        else:
            ranges[name] = [_pair(min(0, low.min()) * MARGIN, high.max() * MARGIN)]
    return ranges


def loss(expected: Path, found: Path, inputs: list[Float32Array]) -> Loss:
    """Return how far the mattes of the model `found` are from those of `expected`."""
    first, second = _session(str(expected)), _session(str(found))
    ious, maes = [], []
    for tensor in inputs:
        a, b = _stretched(first, tensor), _stretched(second, tensor)
        union = float(((a > HALF) | (b > HALF)).sum())
        ious.append(float(((a > HALF) & (b > HALF)).sum()) / union if union else 1.0)
        maes.append(float(np.abs(a - b).mean()))
    return Loss(round(float(np.mean(ious)), DIGITS), round(float(np.mean(maes)), DIGITS))


def _observe(base: Path, graph: FloatGraph, inputs: list[Float32Array]) -> dict[str, Seen]:
    """Return what each activation that becomes bytes went down and up to, by channel."""
    *sides, _fused = (
        node.output[0] for node in graph.nodes
        if node.op_type == "Conv" and node.output[0] not in graph.relus
    )  # fmt: skip
    names = [node.output[0] for node in graph.nodes if node.op_type in {"Relu", "Add"}] + sides
    model = onnx.load(str(base))
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = _session(model.SerializeToString())
    seen: dict[str, Seen] = {}
    for tensor in inputs:
        for name, value in zip(names, session.run(names, {graph.input: tensor}), strict=True):
            low, high = value.min((0, 2, 3)), value.max((0, 2, 3))
            before_low, before_high = seen.get(name, (low, high))
            seen[name] = np.minimum(before_low, low), np.maximum(before_high, high)
    return seen


def _with_constants(graph: FloatGraph, seen: dict[str, Seen]) -> set[str]:
    """Return the activations with a channel that hardly varies and drowns its neighbours.

    U²-Nets know the border of the picture by such a channel: inside, it cancels with a bias as
    large; at the border it meets the zeros of the padding. The weights that read it are so large
    that those of all other channels would round to zero beside them.
    """
    found: set[str] = set()
    known = {name: (low, high, [name] * len(low)) for name, (low, high) in seen.items()}
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
            share = np.where(low > high / 2, weight * low, 0)
            if share.max() > WEIGHT_LEVELS * np.median(weight * high):
                found.add(names[int(share.argmax())])
    return found


def _session(model: str | bytes) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _stretched(session: Any, tensor: Float32Array) -> Float32Array:
    """Return the fused map, float32 [1, 1, side, side], stretched to 0..1 as the matte is."""
    output, source = session.get_outputs()[0].name, session.get_inputs()[0].name
    fused = session.run([output], {source: tensor})[0]
    low, high = fused.min(), fused.max()
    stretched: Float32Array = (fused - low) / max(high - low, MIN_RANGE)
    return stretched


def _pair(low: float, high: float) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in (low, high)]
