"""Static INT8: the official float graph and a table of ranges in, the same bytes out every time.

An activation is an unsigned byte q that stands for q * step + low. All activations of the file
share one scale: the steps are folded into the weights that write and read them, so that pooling,
upsampling and concatenation move bytes and nothing is requantised on the way. A ReLU is the
byte's own lower end. Only `onnx` and `numpy` touch the bytes: a new runtime changes no digest.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.imaging.u2net import Normalisation
from worker.models.int8.float_graph import FloatGraph, options

Doubles = NDArray[np.float64]
Ranges = dict[str, list[list[float]]]
"""[low, high] of an activation by its name in the official file, or such a pair a channel."""

OPSET, IR_VERSION = 17, 8  # the IR version of operator set 17
LEVELS = 255
WEIGHT_LEVELS = 127  # symmetric: -128 is not used
BIAS_LEVELS = 2**30  # half of what the accumulator counts to: the products need the rest
OUTPUTS = 16  # of a side convolution, of which one is of use
IMAGE = "image"
STEPS = "steps"


@dataclass(frozen=True, slots=True)
class Activation:
    """What a tensor of bytes stands for: (byte - zero point) * scale * step + low."""

    step: Doubles
    """float64 [channels]"""
    low: Doubles
    """float64 [channels]; other than zero only where a float convolution reads it"""
    scale: str = STEPS
    """the name of the scale; `.zero` added, the name of the zero point"""


def build(base: Path, ranges: Ranges, normalisation: Normalisation) -> bytes:
    """Return the INT8 file of the float model at `base`.

    It takes float32 [1, 3, side, side] and gives the fused map alone, float32 [1, 1, side, side].
    Raises PermanentError (`model_mismatch`) for a graph that is not a U²-Net.
    """
    model = _Writer(FloatGraph.read(base), dict(ranges)).write(normalisation)
    return bytes(model.SerializeToString(deterministic=True))


@dataclass
class _Writer:
    graph: FloatGraph
    ranges: Ranges
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    activations: dict[str, Activation] = field(default_factory=dict)
    """the tensors that are bytes; the others are float"""

    def write(self, normalisation: Normalisation) -> onnx.ModelProto:
        for node in self.graph.nodes:
            if node.op_type == "Add":  # both sides and their sum count in the same steps
                self.ranges |= dict.fromkeys(node.input, self.ranges[node.output[0]])
        self._constants({STEPS: np.float32(1), f"{STEPS}.zero": np.uint8(0)})
        mean, std = np.array(normalisation.mean), np.array(normalisation.std)
        low, high = float((-mean / std).min()), float(((1 - mean) / std).max())
        self._close_with_scale(IMAGE, self.graph.input, low, high)
        for node in self.graph.nodes:
            self._node(node)
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

    def _node(self, node: NodeProto) -> None:
        first, output = self.activations.get(node.input[0]), node.output[0]
        if first is None:
            if node.op_type != "Relu":  # a ReLU was written with its convolution
                self._emit(node, output)
        elif node.op_type == "Conv":
            self._convolution(node, first)
        else:
            self._emit(node, f"{output}.float")
            self._close(f"{output}.float", output, self._joined(node, first))

    def _joined(self, node: NodeProto, first: Activation) -> Activation:
        """Return what pooling, upsampling, a sum or a concatenation gives: the steps stay."""
        if node.op_type != "Concat":
            return Activation(first.step, first.low)
        parts = [self.activations[name] for name in node.input]
        return Activation(
            np.concatenate([part.step for part in parts]),
            np.concatenate([part.low for part in parts]),
        )

    def _convolution(self, node: NodeProto, source: Activation) -> None:
        """Write a convolution; one without a ReLU is a side output, which goes on in float."""
        relu, result = self.graph.relus.get(node.output[0]), f"{node.name}.float"
        weight = self.graph.weights[node.input[1]].astype(np.float64)
        target = self._ranged(relu, len(weight)) if relu else Activation(np.ones(1), np.zeros(1))
        weight = weight * source.step[:, None, None] / target.step[:, None, None, None]
        bias = (self.graph.weights[node.input[2]].astype(np.float64) - target.low) / target.step
        if not relu:
            weight, bias = _padded(weight), _padded(bias)
        if source.low.any():
            self._in_float(node, source, weight, bias)
            result = self._channels_last(result, target)
        else:
            self._in_int8(node, source, weight, bias)
        if relu:
            self._close(result, relu, target)
        else:
            low, high = self.ranges[node.output[0]][0]
            self._close_with_scale(result, f"{node.output[0]}.padded", low, high)
            self._first_channel(f"{node.output[0]}.padded", node.output[0])

    def _in_int8(self, node: NodeProto, source: Activation, weight: Doubles, bias: Doubles) -> None:
        name, input_scale = node.name, self.constants[source.scale].astype(np.float64)
        scale = np.maximum(
            np.abs(weight).max((1, 2, 3)) / WEIGHT_LEVELS, np.abs(bias) / BIAS_LEVELS / input_scale
        ).clip(np.finfo(np.float32).tiny).astype(np.float32)  # fmt: skip
        bias_scale = (scale * self.constants[source.scale]).astype(np.float32)
        levels = np.rint(weight / scale.astype(np.float64)[:, None, None, None])
        self._constants({
            f"{name}.weight": levels.clip(-WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8),
            f"{name}.weight.scale": scale,
            f"{name}.weight.zero": np.zeros(len(scale), np.int8),
            f"{name}.bias": np.rint(bias / bias_scale.astype(np.float64)).astype(np.int32),
            f"{name}.bias.scale": bias_scale,
            f"{name}.bias.zero": np.zeros(len(scale), np.int32),
        })  # fmt: skip
        for part in ("weight", "bias"):
            inputs = [f"{name}.{part}", f"{name}.{part}.scale", f"{name}.{part}.zero"]
            self._make("DequantizeLinear", inputs, f"{name}.{part}.float", axis=0)
        inputs = [node.input[0], f"{name}.weight.float", f"{name}.bias.float"]
        self._make("Conv", inputs, f"{name}.float", **options(node))

    def _in_float(
        self, node: NodeProto, source: Activation, weight: Doubles, bias: Doubles
    ) -> None:
        """Add the lows before the convolution pads with zeros: a zero is zero, not a low."""
        name = node.name
        self._constants({
            f"{name}.low": (source.low / source.step)[None, :, None, None].astype(np.float32),
            f"{name}.weight": weight.astype(np.float32),
            f"{name}.bias": bias.astype(np.float32),
        })  # fmt: skip
        first = self._channels_last(node.input[0], source)
        self._make("Add", [first, f"{name}.low"], f"{name}.raised")
        inputs = [f"{name}.raised", f"{name}.weight", f"{name}.bias"]
        self._make("Conv", inputs, f"{name}.float", **options(node))

    def _first_channel(self, padded: str, output: str) -> None:
        self._constants({"first": np.array([0]), "second": np.array([1])})
        inputs = [f"{padded}.bytes", "first", "second", "second"]
        self._make("Slice", inputs, f"{output}.bytes")
        quantisation = [f"{padded}.scale", f"{padded}.scale.zero"]
        self._make("DequantizeLinear", [f"{output}.bytes", *quantisation], output)

    def _channels_last(self, name: str, activation: Activation) -> str:
        """Return a copy of the tensor, by a convolution that changes no byte.

        ONNX Runtime convolves bytes channels-last and floats channels-first. Without this it would
        also resize and join all bytes on the way between them channels-first, which is slow.
        """
        copy, channels = f"{name}.copy", len(activation.step)
        self._close(name, f"{name}.bare", activation)
        self._constants({
            f"{copy}.weight": np.eye(channels, dtype=np.int8)[:, :, None, None],
            f"{copy}.weight.scale": np.ones(channels, np.float32),
            f"{copy}.weight.zero": np.zeros(channels, np.int8),
        })  # fmt: skip
        inputs = [f"{copy}.weight", f"{copy}.weight.scale", f"{copy}.weight.zero"]
        self._make("DequantizeLinear", inputs, f"{copy}.weight.float", axis=0)
        self._make("Conv", [f"{name}.bare", f"{copy}.weight.float"], f"{copy}.float")
        self._close(f"{copy}.float", copy, activation)
        return copy

    def _ranged(self, name: str, channels: int) -> Activation:
        """Return an activation in steps of its own range: the table's pair, or one a channel."""
        low, high = np.array(self.ranges[name], np.float64).T
        span = high - low
        span = np.where(span > 0, span, span.max())  # a channel that is always zero
        return Activation(np.broadcast_to(span / LEVELS, channels), np.broadcast_to(low, channels))

    def _emit(self, node: NodeProto, output: str) -> None:
        """Write a node of the official file under another output's name."""
        inputs = self.graph.inputs(node)
        if node.op_type == "Resize":
            factor = self.graph.factors[node.output[0]]
            scales = f"times_{factor}"
            self._constants({scales: np.array([1, 1, factor, factor], np.float32)})
            inputs += ["", scales]
        elif node.op_type == "Conv":
            self._constants({name: self.graph.weights[name] for name in node.input[1:]})
            inputs += node.input[1:]
        self._make(node.op_type, inputs, output, **options(node))

    def _close(self, source: str, name: str, activation: Activation) -> None:
        """Make bytes of a float tensor; `name` then is what they stand for, less the steps."""
        quantisation = [activation.scale, f"{activation.scale}.zero"]
        self._make("QuantizeLinear", [source, *quantisation], f"{name}.bytes")
        self._make("DequantizeLinear", [f"{name}.bytes", *quantisation], name)
        self.activations[name] = activation

    def _close_with_scale(self, source: str, name: str, low: float, high: float) -> None:
        """Make bytes of [low, high], of which zero is one."""
        scale = np.float32((high - low) / LEVELS)
        zero = np.uint8(np.rint(-low / np.float64(scale)))
        self._constants({f"{name}.scale": scale, f"{name}.scale.zero": zero})
        self._close(source, name, Activation(np.ones(1), np.zeros(1), f"{name}.scale"))

    def _constants(self, arrays: dict[str, Any]) -> None:
        self.constants |= {name: np.asarray(array) for name, array in arrays.items()}

    def _make(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))


def _padded(array: Doubles) -> Doubles:
    """Return weights or biases of sixteen outputs: they take a third of the time of a single one.

    ONNX Runtime's fast kernels are for multiples of sixteen.
    """
    return np.concatenate([array, np.zeros((OUTPUTS - len(array), *array.shape[1:]))])
