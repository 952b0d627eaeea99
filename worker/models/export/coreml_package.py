"""The float graph as a Core ML package, for iOS 15 and macOS 12 or newer."""

from pathlib import Path
from typing import Any

from onnx import NodeProto

from worker.models.export.optional import optional, silenced
from worker.models.graph.float_graph import FloatGraph, options


def write(graph: FloatGraph, side: int, path: Path) -> None:
    """Write the graph. Input: float32 [1, 3, side, side]; output: the fused map.

    Core ML's runtime exists on Apple's systems alone, so the package is not run here.
    """
    with silenced():
        coremltools = optional("coremltools")
        builder = optional("coremltools.converters.mil").Builder
        target = coremltools.target.iOS15

        @builder.program(  # type: ignore[untyped-decorator]
            input_specs=[builder.TensorSpec(shape=(1, 3, side, side))], opset_version=target
        )
        def program(image: Any) -> Any:
            tensors = {graph.input: image}
            for node in graph.nodes:
                inputs = [tensors[name] for name in graph.inputs(node)]
                tensors[node.output[0]] = _layer(builder, node, inputs, graph)
            return builder.identity(x=tensors[graph.output], name="saliency")

        package = coremltools.convert(
            program, convert_to="mlprogram", minimum_deployment_target=target,
            compute_precision=coremltools.precision.FLOAT32,
        )  # fmt: skip
        package.save(str(path))


def _layer(builder: Any, node: NodeProto, inputs: list[Any], graph: FloatGraph) -> Any:
    source = inputs[0]
    match node.op_type:
        case "Conv":
            weights, biases = (graph.weights[name] for name in node.input[1:])
            attributes = options(node)
            top, left, bottom, right = attributes["pads"]
            layer = builder.conv(
                x=source, weight=weights, bias=biases, pad_type="custom",
                pad=[top, bottom, left, right], dilations=attributes["dilations"],
            )  # fmt: skip
        case "MaxPool":
            layer = builder.max_pool(
                x=source, kernel_sizes=[2, 2], strides=[2, 2], pad_type="valid"
            )
        case "Resize":
            factor = graph.factors[node.output[0]]
            layer = builder.upsample_bilinear(
                x=source, scale_factor_height=factor, scale_factor_width=factor,
                align_corners=False,
            )  # fmt: skip
        case "Concat":
            layer = builder.concat(values=inputs, axis=1)
        case "Relu":
            layer = builder.relu(x=source)
        case "Sigmoid":
            layer = builder.sigmoid(x=source)
        case _:  # "Add", as FloatGraph has no other
            layer = builder.add(x=source, y=inputs[1])
    return layer
