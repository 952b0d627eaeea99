"""Builds a static INT8 model from a float model and the value range of each activation.

An activation value v is stored as an unsigned byte q with v = q * step + low. All activations of
the file share one scale, 1: the steps are folded into the weights before and after, so that
pooling, upsampling and concatenation only move bytes and nothing is requantized between
convolutions. A ReLU needs no operator, because bytes end at 0.

The same input gives the same bytes on every machine: only `onnx` and `numpy` write the file, so a
new ONNX Runtime does not change its digest.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.imaging.u2net import Normalisation
from worker.models.graph.float_graph import BESIDE, DEEP, FloatGraph, options

Doubles = NDArray[np.float64]
Ranges = dict[str, list[list[float]]]
"""Value ranges: by an activation's name in the float model, one [low, high] pair, or one pair per
channel."""

OPSET, IR_VERSION = 17, 8  # this IR version belongs to operator set 17
LEVELS = 255
"""Greatest value of an activation byte."""
WEIGHT_LEVELS = 127
"""Greatest absolute value of an INT8 weight: symmetric, so -128 is not used."""
BIAS_LEVELS = 2**30
"""Greatest absolute value of an INT32 bias: half of the accumulator; the products need the rest."""
KERNEL_OUTPUTS = 16
"""Output channels of a convolution must be a multiple of this for ONNX Runtime's fast kernels."""
IMAGE = "image"
"""Name of the input tensor."""
STEPS = "steps"
"""Name of the scale that all activations share."""


@dataclass(frozen=True, slots=True)
class Activation:
    """How to read a tensor of bytes: value = (byte - zero point) * scale * step + low."""

    step: Doubles
    """float64 [channels]"""
    low: Doubles
    """float64 [channels]; not zero only if a float convolution reads the tensor"""
    scale: str = STEPS
    """name of the scale; with `.zero` appended, name of the zero point"""


def build(graph: FloatGraph, ranges: Ranges, normalisation: Normalisation) -> bytes:
    """Return the INT8 ONNX file for a float model.

    Its input is float32 [1, 3, side, side], normalised; its only output is the fused map, float32
    [1, 1, side, side], 0..1.
    """
    model = _GraphWriter(graph, dict(ranges)).write(normalisation)
    return bytes(model.SerializeToString(deterministic=True))


@dataclass
class _GraphWriter:
    graph: FloatGraph
    ranges: Ranges
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    activations: dict[str, Activation] = field(default_factory=dict)
    """the tensors that are stored as bytes; all others are float"""

    def write(self, normalisation: Normalisation) -> onnx.ModelProto:
        for node in self.graph.nodes:
            if node.op_type == "Add" and node.output[0] not in self.graph.relus:
                # both operands have the range, and so the step, of the sum
                self.ranges |= dict.fromkeys(node.input, self.ranges[node.output[0]])
        self._add_constants({STEPS: np.float32(1), f"{STEPS}.zero": np.uint8(0)})
        mean, std = np.array(normalisation.mean), np.array(normalisation.std)
        low, high = float((-mean / std).min()), float(((1 - mean) / std).max())
        self._quantize_with_own_scale(IMAGE, self.graph.input, low, high)
        for node in self.graph.nodes:
            self._write_node(node)
        side = self.graph.side
        graph = helper.make_graph(
            self.nodes, "int8",
            [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, [1, 3, side, side])],
            [helper.make_tensor_value_info(
                self.graph.output, TensorProto.FLOAT, [1, 1, side, side]
            )],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )  # fmt: skip
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[opset])

    def _write_node(self, node: NodeProto) -> None:
        first, output = self.activations.get(node.input[0]), node.output[0]
        if first is None:
            if node.op_type != "Relu":  # a ReLU is written with its convolution
                self._copy_node(node, output)
        elif node.op_type == "Conv":
            self._convolution(node, first)
        elif output in self.graph.relus:
            self._copy_node(node, f"{output}.float")
            relu = self.graph.relus[output]
            self._quantize(f"{output}.float", relu, self._activation(relu))
        else:
            self._copy_node(node, f"{output}.float")
            self._quantize(f"{output}.float", output, self._result_of(node, first))

    def _result_of(self, node: NodeProto, first: Activation) -> Activation:
        """Return the output of pooling, upsampling, a sum or a concatenation: steps are kept."""
        if node.op_type != "Concat":
            return Activation(first.step, first.low, first.scale)
        parts = [self.activations[name] for name in node.input]
        return Activation(
            np.concatenate([part.step for part in parts]),
            np.concatenate([part.low for part in parts]),
        )

    def _convolution(self, node: NodeProto, source: Activation) -> None:
        """Write a convolution with a ReLU, a half of one, or a side output.

        Side outputs continue in float.
        """
        name, result = node.output[0], f"{node.name}.float"
        relu = self.graph.relus.get(self.graph.halves.get(name, name))
        target = self._activation(relu) if relu else Activation(np.ones(1), np.zeros(1))
        weight = self.graph.weights[node.input[1]].astype(np.float64)
        weight = weight * source.step[:, None, None] / target.step[:, None, None, None]
        bias = self.graph.weights[node.input[2]].astype(np.float64)
        bias = (bias if name.endswith(DEEP) else bias - target.low) / target.step
        if not relu:
            weight, bias = _pad_outputs(weight), _pad_outputs(bias)
        if source.low.any():
            self._write_float_convolution(node, source, weight, bias)
            if name not in self.graph.halves:
                result = self._channels_last(result, target)
        else:
            self._write_int8_convolution(node, source, weight, bias)
        if name in self.graph.halves:
            low, high = self._range_of_half(name, target)
            self._quantize_with_own_scale(result, name, low, high)
        elif relu:
            self._quantize(result, relu, target)
        else:
            low, high = self.ranges[name][0]
            self._quantize_with_own_scale(result, f"{name}.padded", low, high)
            self._first_channel(f"{name}.padded", name)

    def _range_of_half(self, name: str, target: Activation) -> tuple[float, float]:
        """Return the range of a half, in steps of its sum.

        What the other half cannot raise above zero, or lower into the range of the sum, is left
        out.
        """
        total = self.graph.halves[name]
        (other,) = (half for half, of in self.graph.halves.items() if of == total and half != name)
        low, high = self._in_steps(name, target)
        other_low, other_high = self._in_steps(other, target)
        highest = LEVELS - np.maximum(other_low, -high)
        low, high = np.maximum(low, -other_high), np.minimum(high, highest)
        return min(0.0, float(low.min())), max(0.0, float(high.max()))

    def _in_steps(self, half: str, target: Activation) -> Doubles:
        """Return the lows and the highs of a half, in steps of its sum: float64 [2, channels]."""
        bounds = np.array(self.ranges[half], np.float64).T
        with_bias = half.endswith(BESIDE)
        shifted: Doubles = (bounds - target.low if with_bias else bounds) / target.step
        return shifted

    def _write_int8_convolution(
        self, node: NodeProto, source: Activation, weight: Doubles, bias: Doubles
    ) -> None:
        name, input_scale = node.name, self.constants[source.scale].astype(np.float64)
        scale = np.maximum(
            np.abs(weight).max((1, 2, 3)) / WEIGHT_LEVELS, np.abs(bias) / BIAS_LEVELS / input_scale
        ).clip(np.finfo(np.float32).tiny).astype(np.float32)  # fmt: skip
        bias_scale = (scale * self.constants[source.scale]).astype(np.float32)
        levels = np.rint(weight / scale.astype(np.float64)[:, None, None, None])
        self._add_constants({
            f"{name}.weight": levels.clip(-WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8),
            f"{name}.weight.scale": scale,
            f"{name}.weight.zero": np.zeros(len(scale), np.int8),
            f"{name}.bias": np.rint(bias / bias_scale.astype(np.float64)).astype(np.int32),
            f"{name}.bias.scale": bias_scale,
            f"{name}.bias.zero": np.zeros(len(scale), np.int32),
        })  # fmt: skip
        for part in ("weight", "bias"):
            inputs = [f"{name}.{part}", f"{name}.{part}.scale", f"{name}.{part}.zero"]
            self._add_node("DequantizeLinear", inputs, f"{name}.{part}.float", axis=0)
        inputs = [node.input[0], f"{name}.weight.float", f"{name}.bias.float"]
        self._add_node("Conv", inputs, f"{name}.float", **options(node))

    def _write_float_convolution(
        self, node: NodeProto, source: Activation, weight: Doubles, bias: Doubles
    ) -> None:
        """Write a convolution of an activation with `low`, which is added before the padding.

        The padding must be the value 0, not the byte 0, which stands for `low`.
        """
        name = node.name
        self._add_constants({
            f"{name}.low": (source.low / source.step)[None, :, None, None].astype(np.float32),
            f"{name}.weight": weight.astype(np.float32),
            f"{name}.bias": bias.astype(np.float32),
        })  # fmt: skip
        first = self._channels_last(node.input[0], source)
        self._add_node("Add", [first, f"{name}.low"], f"{name}.raised")
        inputs = [f"{name}.raised", f"{name}.weight", f"{name}.bias"]
        self._add_node("Conv", inputs, f"{name}.float", **options(node))

    def _first_channel(self, padded: str, output: str) -> None:
        """Write the slice that undoes `_pad_outputs`."""
        self._add_constants({"first": np.array([0]), "second": np.array([1])})
        inputs = [f"{padded}.bytes", "first", "second", "second"]
        self._add_node("Slice", inputs, f"{output}.bytes")
        quantisation = [f"{padded}.scale", f"{padded}.scale.zero"]
        self._add_node("DequantizeLinear", [f"{output}.bytes", *quantisation], output)

    def _channels_last(self, name: str, activation: Activation) -> str:
        """Return the name of a copy of the tensor, made by an identity convolution.

        ONNX Runtime stores bytes channels-last and floats channels-first for its convolutions. The
        copy marks the border; without it, all resizing and concatenation of bytes before a float
        convolution would run channels-first, which is slow.
        """
        copy, channels = f"{name}.copy", len(activation.step)
        self._quantize(name, f"{name}.bare", activation)
        self._add_constants({
            f"{copy}.weight": np.eye(channels, dtype=np.int8)[:, :, None, None],
            f"{copy}.weight.scale": np.ones(channels, np.float32),
            f"{copy}.weight.zero": np.zeros(channels, np.int8),
        })  # fmt: skip
        inputs = [f"{copy}.weight", f"{copy}.weight.scale", f"{copy}.weight.zero"]
        self._add_node("DequantizeLinear", inputs, f"{copy}.weight.float", axis=0)
        self._add_node("Conv", [f"{name}.bare", f"{copy}.weight.float"], f"{copy}.float")
        self._quantize(f"{copy}.float", copy, activation)
        return copy

    def _activation(self, name: str) -> Activation:
        """Return an activation whose bytes span its range, given once or per channel."""
        channels = self.graph.channels[name]
        low, high = np.array(self.ranges[name], np.float64).T
        span = high - low
        span = np.where(span > 0, span, span.max())  # some channels are always zero
        return Activation(np.broadcast_to(span / LEVELS, channels), np.broadcast_to(low, channels))

    def _copy_node(self, node: NodeProto, output: str) -> None:
        """Write a node of the float model, with another name for its output."""
        inputs = self.graph.inputs(node)
        if node.op_type == "Resize":
            factor = self.graph.factors[node.output[0]]
            scales = f"times_{factor}"
            self._add_constants({scales: np.array([1, 1, factor, factor], np.float32)})
            inputs += ["", scales]
        elif node.op_type == "Conv":
            self._add_constants({name: self.graph.weights[name] for name in node.input[1:]})
            inputs += node.input[1:]
        self._add_node(node.op_type, inputs, output, **options(node))

    def _quantize(self, source: str, name: str, activation: Activation) -> None:
        """Store a float tensor as bytes. `name` is the tensor read back from them, in steps."""
        quantisation = [activation.scale, f"{activation.scale}.zero"]
        self._add_node("QuantizeLinear", [source, *quantisation], f"{name}.bytes")
        self._add_node("DequantizeLinear", [f"{name}.bytes", *quantisation], name)
        self.activations[name] = activation

    def _quantize_with_own_scale(self, source: str, name: str, low: float, high: float) -> None:
        """Store a float tensor as bytes for low..high, among which 0 is exact."""
        scale = np.float32((high - low) / LEVELS)
        zero = np.uint8(np.rint(-low / np.float64(scale)))
        self._add_constants({f"{name}.scale": scale, f"{name}.scale.zero": zero})
        self._quantize(source, name, Activation(np.ones(1), np.zeros(1), f"{name}.scale"))

    def _add_constants(self, arrays: dict[str, Any]) -> None:
        self.constants |= {name: np.asarray(array) for name, array in arrays.items()}

    def _add_node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))


def _pad_outputs(array: Doubles) -> Doubles:
    """Return the weights or biases of one output channel, padded with zeros to sixteen channels.

    The convolution then takes a third of the time.
    """
    return np.concatenate([array, np.zeros((KERNEL_OUTPUTS - len(array), *array.shape[1:]))])
