"""Calibrates an INT8 model on photographs, and measures its loss on others."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from contract.errors import CutoutError, ErrorCode, PermanentError
from worker.imaging.arrays import Float32Array
from worker.imaging.decode import Limits, decode, displayed_size
from worker.imaging.u2net import MIN_RANGE, network_input
from worker.models.graph import onnx_file
from worker.models.graph.float_graph import FloatGraph
from worker.models.graph.observed import observed, session_of
from worker.models.int8.quantize import WEIGHT_LEVELS, Ranges, build
from worker.models.registry import Loss, Model
from worker.models.weights import locked

MIN_PHOTOGRAPHS = 4
HOLD_OUT_EVERY = 4
"""Every fourth photograph is held out of the calibration to measure the loss on."""
MAX_BYTES = 1 << 29
"""Larger files are no photographs."""
MARGIN = 1.02
"""Ranges are widened by this factor, as other photographs may exceed them a little."""
DIGITS = 4
"""Significant digits of a range; decimals of a loss."""
MASK_THRESHOLD = 0.5

T = TypeVar("T")
Bounds = tuple[Float32Array, Float32Array]
"""The least and the greatest value of an activation, float32 [channels] each."""


def calibrate(
    model: Model,
    graph: FloatGraph,
    base: FloatGraph,
    used: list[Float32Array],
    held_out: list[Float32Array],
    folder: Path,
) -> Loss:
    """Build the INT8 `model` of a float graph with the value ranges of photographs.

    `used`, `held_out`: network inputs, float32 [1, 3, side, side]. Writes the model and its
    calibration (`weights.own_calibration`) to `folder`; returns the loss against the float model
    `base` on the photographs that are held out.
    """
    path = folder / model.file
    partial = folder / f".{model.file}.new"
    with locked(path):
        ranges = measure_ranges(graph, used)
        content = build(graph, ranges, model.normalisation)
        partial.write_bytes(content)
        loss = measure_loss(base, partial, held_out)
        calibration = {
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "photographs": len(used), "loss": asdict(loss), "ranges": ranges,
        }  # fmt: skip
        partial_calibration = folder / f".{model.name}.json.new"
        partial_calibration.write_text(json.dumps(calibration, indent=1))
        partial_calibration.replace(path.with_suffix(".json"))
        partial.replace(path)
    return loss


def network_inputs(folder: Path, model: Model, limits: Limits) -> list[Float32Array]:
    """Return the network input, float32 [1, 3, side, side], of each photograph below `folder`.

    They are in the order of their paths. Files that cannot be decoded are skipped. Raises
    PermanentError (`nothing_to_do`) if there are fewer than four photographs, or no folder.
    """
    decoded = (decoded_or_none(path, limits) for path in photographs_below(folder))
    inputs = [network_input(rgb, model.side, model.normalisation) for rgb in decoded if rgb]
    if len(inputs) < MIN_PHOTOGRAPHS:
        raise PermanentError(
            ErrorCode.NOTHING_TO_DO,
            f"{folder} has {len(inputs)} photographs; at least {MIN_PHOTOGRAPHS} are needed,"
            " better 50 or more.",
        )
    return inputs


def photographs_below(folder: Path) -> list[Path]:
    """Return the files below `folder` whose header is that of a photograph, in order.

    Raises PermanentError (`nothing_to_do`) if it is no folder.
    """
    if not folder.is_dir():
        raise PermanentError(ErrorCode.NOTHING_TO_DO, f"{folder} is no folder of this machine.")
    files = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return sorted(path for path in files if _is_photograph(path))


def _is_photograph(path: Path) -> bool:
    with suppress(CutoutError, OSError):
        readable = path.is_file() and path.stat().st_size <= MAX_BYTES
        return readable and bool(displayed_size(path.read_bytes()))
    return False


def decoded_or_none(path: Path, limits: Limits) -> Image.Image | None:
    """Return a photograph in mode RGB; None if it cannot be read or decoded."""
    with suppress(CutoutError, OSError):
        return decode(path.read_bytes(), limits).rgb
    return None


def split(photographs: list[T]) -> tuple[list[T], list[T]]:
    """Return those to use, and every fourth, which is held out."""
    used = [one for number, one in enumerate(photographs, 1) if number % HOLD_OUT_EVERY]
    return used, photographs[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]


def measure_ranges(graph: FloatGraph, inputs: list[Float32Array]) -> Ranges:
    """Return the value ranges of a float model's activations.

    `inputs`: network inputs, float32 [1, 3, side, side].
    """
    bounds = _observe(graph, inputs)
    with_constant_channel = _with_constant_channel(graph, bounds)
    for node in graph.nodes:
        if node.op_type == "Add" and node.output[0] not in graph.relus:
            for name in node.input:  # both operands get the range of the sum
                del bounds[name]
    ranges: Ranges = {}
    for name, (low, high) in bounds.items():
        if name in with_constant_channel:
            lows = np.where(low > high / 2, low / MARGIN, 0)
            ranges[name] = [_rounded(*pair) for pair in zip(lows, high * MARGIN, strict=True)]
        elif name in graph.halves:
            ranges[name] = [
                _rounded(*pair) for pair in zip(low * MARGIN, high * MARGIN, strict=True)
            ]
        else:
            ranges[name] = [_rounded(min(0, low.min()) * MARGIN, high.max() * MARGIN)]
    return ranges


def measure_loss(base: FloatGraph, int8: Path, inputs: list[Float32Array]) -> Loss:
    """Return the loss of the INT8 model at `int8` against the float model.

    `inputs`: network inputs, float32 [1, 3, side, side].
    """
    ious, session = [], session_of(str(int8))
    whole, mattes = mattes_of(base, inputs), [_matte(session, tensor) for tensor in inputs]
    for a, b in zip(whole, mattes, strict=True):
        mask_a, mask_b = a > MASK_THRESHOLD, b > MASK_THRESHOLD
        union = float((mask_a | mask_b).sum())
        ious.append(float((mask_a & mask_b).sum()) / union if union else 1.0)
    mae = mean_difference(whole, mattes)
    return Loss(round(float(np.mean(ious)), DIGITS), round(mae, DIGITS))


def mattes_of(graph: FloatGraph, inputs: list[Float32Array]) -> list[Float32Array]:
    """Return a float model's matte of each input: float32 [1, 1, side, side], 0..1."""
    model = onnx_file.model_of(graph, graph.side, "float")
    session = session_of(model.SerializeToString())
    return [_matte(session, tensor) for tensor in inputs]


def mean_difference(mattes: list[Float32Array], others: list[Float32Array]) -> float:
    """Return the mean absolute difference of the mattes, 0..1."""
    pairs = zip(mattes, others, strict=True)
    return float(np.mean([float(np.abs(a - b).mean()) for a, b in pairs]))


def _observe(graph: FloatGraph, inputs: list[Float32Array]) -> dict[str, Bounds]:
    """Return the bounds, over all inputs, of each activation that is stored as bytes."""
    relus, halves = graph.relus, graph.halves
    *sides, _fused = (
        node.output[0] for node in graph.nodes
        if node.op_type == "Conv" and node.output[0] not in {*relus, *halves}
    )  # fmt: skip
    names = [
        node.output[0] for node in graph.nodes
        if node.op_type in {"Relu", "Add"} and node.output[0] not in relus
    ]  # fmt: skip
    names += [*halves, *sides]
    bounds: dict[str, Bounds] = {}
    for computed in observed(graph, names, inputs):
        for name, value in computed.items():
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
        elif node.op_type == "Conv" and node.output[0] in {*graph.relus, *graph.halves}:
            weight = np.abs(graph.weights[node.input[1]]).max((0, 2, 3))
            constant = np.where(low > high / 2, weight * low, 0)
            if constant.max() > WEIGHT_LEVELS * np.median(weight * high):
                names_found.add(names[int(constant.argmax())])
    return names_found


def _matte(session: Any, tensor: Float32Array) -> Float32Array:
    """Return the fused map stretched to the full range 0..1: float32 [1, 1, side, side]."""
    output, source = session.get_outputs()[0].name, session.get_inputs()[0].name
    fused = session.run([output], {source: tensor})[0]
    low, high = fused.min(), fused.max()
    matte: Float32Array = (fused - low) / max(high - low, MIN_RANGE)
    return matte


def _rounded(low: float, high: float) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in (low, high)]
