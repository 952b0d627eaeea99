"""A float U²-Net as a list of its few operators, with all tensor sizes resolved."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from contract.errors import ErrorCode, PermanentError

OPERATORS = frozenset({"Conv", "Relu", "MaxPool", "Resize", "Concat", "Add", "Sigmoid"})

DEEP, BESIDE = ".deep", ".beside"
"""Ends of the names of the two halves of a convolution: see `late_enlarging`."""


@dataclass(frozen=True, slots=True)
class FloatGraph:
    input: str
    """name of the input tensor"""
    output: str
    """name of the fused map; nodes that only the other outputs need are left out"""
    side: int
    """the input has side x side pixels"""
    nodes: list[NodeProto]
    """in an order in which they can be executed"""
    weights: dict[str, NDArray[np.float32]]
    """weights and biases by name"""
    factors: dict[str, int]
    """the scale factor of each Resize, by the name of its output"""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a U²-Net that PyTorch exported.

        Raises PermanentError (`model_mismatch`) if the graph has other operators.
        """
        graph = onnx.load(str(path)).graph
        producers = {output: node for node in graph.node for output in node.output}
        nodes = _needed([*graph.node], graph.output[0].name)
        unknown = {node.op_type for node in nodes} - OPERATORS
        if unknown:
            raise PermanentError(
                ErrorCode.MODEL_MISMATCH,
                f"{path.name} is not a U²-Net: it has the operators {', '.join(sorted(unknown))}.",
            )
        side = graph.input[0].type.tensor_type.shape.dim[2].dim_value
        sides, factors = {graph.input[0].name: side}, {}
        for node in nodes:
            before = sides[node.input[0]]
            after = before
            if node.op_type == "MaxPool":
                after = -(-before // 2)
            elif node.op_type == "Resize":
                after = sides[_size_source(node.input[3], producers)]
                factors[node.output[0]] = after // before
            sides[node.output[0]] = after
        return cls(
            graph.input[0].name, graph.output[0].name, side, nodes,
            {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}, factors,
        )  # fmt: skip

    @property
    def sides(self) -> dict[str, int]:
        """The side of every tensor in pixels, by its name."""
        found = {self.input: self.side}
        for node in self.nodes:
            side = found[node.input[0]]
            if node.op_type == "MaxPool":
                side = -(-side // 2)
            elif node.op_type == "Resize":
                side *= self.factors[node.output[0]]
            found[node.output[0]] = side
        return found

    @property
    def convolutions(self) -> list[NodeProto]:
        return [node for node in self.nodes if node.op_type == "Conv"]

    @property
    def multiplications(self) -> int:
        """Multiplications of all convolutions."""
        sides = self.sides
        return sum(
            self.weights[node.input[1]].size * sides[node.output[0]] ** 2
            for node in self.convolutions
        )

    @property
    def channels(self) -> dict[str, int]:
        """The number of channels of every tensor, by its name."""
        found = {self.input: 3}
        for node in self.nodes:
            if node.op_type == "Conv":
                count = len(self.weights[node.input[1]])
            elif node.op_type == "Concat":
                count = sum(found[name] for name in node.input)
            else:
                count = found[node.input[0]]
            found[node.output[0]] = count
        return found

    @property
    def relus(self) -> dict[str, str]:
        """The output of each ReLU, by the name of its input."""
        return {node.input[0]: node.output[0] for node in self.nodes if node.op_type == "Relu"}

    @property
    def halves(self) -> dict[str, str]:
        """The sum that each half of a convolution belongs to, by the half's name.

        Only a graph from `enlarge_late` has them.
        """
        return {
            node.output[0]: node.output[0].removesuffix(end)
            for node in self.nodes
            for end in (DEEP, BESIDE)
            if node.output[0].endswith(end)
        }

    def without_unneeded(self) -> Self:
        """Return the graph without the nodes that its output does not depend on."""
        return replace(self, nodes=_needed(self.nodes, self.output))

    def inputs(self, node: NodeProto) -> list[str]:
        """Return the names of a node's input tensors, without weights and sizes."""
        return list(node.input if node.op_type in {"Concat", "Add"} else node.input[:1])


def options(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes for operator set 17."""
    if node.op_type == "Resize":
        return {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _needed(all_nodes: list[NodeProto], output: str) -> list[NodeProto]:
    """Return the nodes that the output depends on, without those that compute shapes."""
    needed, nodes = {output}, []
    for node in reversed(all_nodes):
        if node.output[0] in needed:
            nodes.append(node)
            needed.update(node.input[:1] if node.op_type == "Resize" else node.input)
    return nodes[::-1]


def _size_source(sizes: str, producers: dict[str, NodeProto]) -> str:
    """Return the name of the tensor to whose width a Resize scales its input.

    `sizes` is the Resize's fourth input, computed from that tensor's shape.
    """
    node = producers[sizes]
    if node.op_type == "Shape":
        return str(node.input[0])
    # the second input of a Gather is an index; the last input of a Concat is the width
    return _size_source(node.input[0 if node.op_type == "Gather" else -1], producers)
