"""The float graph as ONNX, for an input of any size."""

from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.models.graph.float_graph import FloatGraph, options

OPERATOR_SET, IR_VERSION = 17, 8


def write(graph: FloatGraph, side: int, path: Path) -> None:
    """Write the graph. Input: float32 [1, 3, side, side]; output: the fused map."""
    path.write_bytes(model_of(graph, side, path.stem).SerializeToString(deterministic=True))


def model_of(graph: FloatGraph, side: int, name: str) -> onnx.ModelProto:
    """Return the graph as `write` writes it."""
    scales = {factor: f"times_{factor}" for factor in {*graph.factors.values()}}
    constants = {
        name: graph.weights[name]
        for node in graph.nodes
        if node.op_type == "Conv"
        for name in node.input[1:]
    }
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    initializers += [
        helper.make_tensor(name, TensorProto.FLOAT, [4], [1, 1, factor, factor])
        for factor, name in scales.items()
    ]
    proto = helper.make_graph(
        [_node(node, graph, scales) for node in graph.nodes],
        name,
        [helper.make_tensor_value_info(graph.input, TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(graph.output, TensorProto.FLOAT, [1, 1, side, side])],
        initializers,
    )
    model = helper.make_model(
        proto, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPERATOR_SET)]
    )
    onnx.checker.check_model(model)
    return model


def _node(node: NodeProto, graph: FloatGraph, scales: dict[int, str]) -> NodeProto:
    inputs = graph.inputs(node)
    if node.op_type == "Resize":
        inputs += ["", scales[graph.factors[node.output[0]]]]
    elif node.op_type == "Conv":
        inputs += node.input[1:]
    return helper.make_node(node.op_type, inputs, [node.output[0]], **options(node))
