"""The official float file as a list of the few operators that matter, its shape sums worked out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from contract.errors import ErrorCode, PermanentError

OPERATORS = frozenset({"Conv", "Relu", "MaxPool", "Resize", "Concat", "Add", "Sigmoid"})


@dataclass(frozen=True, slots=True)
class FloatGraph:
    input: str
    output: str
    """the fused map; what only the other outputs need is left out"""
    side: int
    nodes: list[NodeProto]
    """in the file's order, which is one of execution"""
    weights: dict[str, NDArray[np.float32]]
    factors: dict[str, int]
    """how many times as large a Resize makes its input, by the output's name"""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a U²-Net as PyTorch exported it.

        Raises PermanentError (`model_mismatch`) for a graph of other operators.
        """
        graph = onnx.load(str(path)).graph
        makers = {output: node for node in graph.node for output in node.output}
        nodes = _needed(graph)
        strangers = {node.op_type for node in nodes} - OPERATORS
        if strangers:
            raise PermanentError(
                ErrorCode.MODEL_MISMATCH, f"{path.name} holds {', '.join(sorted(strangers))}."
            )
        side = graph.input[0].type.tensor_type.shape.dim[2].dim_value
        sides, factors = {graph.input[0].name: side}, {}
        for node in nodes:
            before = sides[node.input[0]]
            after = before
            if node.op_type == "MaxPool":
                after = -(-before // 2)
            elif node.op_type == "Resize":
                after = sides[_sized_like(node.input[3], makers)]
                factors[node.output[0]] = after // before
            sides[node.output[0]] = after
        return cls(
            graph.input[0].name, graph.output[0].name, side, nodes,
            {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}, factors,
        )  # fmt: skip

    @property
    def relus(self) -> dict[str, str]:
        """The outputs of ReLUs by their inputs."""
        return {node.input[0]: node.output[0] for node in self.nodes if node.op_type == "Relu"}

    def inputs(self, node: NodeProto) -> list[str]:
        """Return the tensors a node computes with, without weights and sizes."""
        return list(node.input if node.op_type in {"Concat", "Add"} else node.input[:1])


def options(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes as operator set 17 has them."""
    if node.op_type == "Resize":
        return {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _needed(graph: onnx.GraphProto) -> list[NodeProto]:
    """Return the nodes the first output needs, without the arithmetic on shapes."""
    wanted, nodes = {graph.output[0].name}, []
    for node in reversed(graph.node):
        if node.output[0] in wanted:
            nodes.append(node)
            wanted.update(node.input[:1] if node.op_type == "Resize" else node.input)
    return nodes[::-1]


def _sized_like(sizes: str, makers: dict[str, NodeProto]) -> str:
    """Return the tensor whose width a Resize takes on: the last one its sizes are made from."""
    node = makers[sizes]
    if node.op_type == "Shape":
        return str(node.input[0])
    # Gather's second input is an index; a Concat's last part is the width
    return _sized_like(node.input[0 if node.op_type == "Gather" else -1], makers)
