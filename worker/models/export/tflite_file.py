"""The float graph as TensorFlow Lite, written directly: it has seven kinds of operators."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto

from worker.models.export.optional import optional
from worker.models.graph.float_graph import FloatGraph, options

SCHEMA_VERSION = 3
CHANNELS_LAST = 3
"""Axis of the channels: TensorFlow Lite has [1, height, width, channels]."""
FILE_IDENTIFIER = b"TFL3"


def write(graph: FloatGraph, side: int, path: Path) -> None:
    """Write the graph. Input: float32 [1, side, side, 3]; output: the fused map, one channel."""
    path.write_bytes(_Writer(graph, side).model())


class _Writer:
    def __init__(self, graph: FloatGraph, side: int) -> None:
        self.schema = optional("ai_edge_litert.schema_py_generated")
        self.graph = graph
        self.buffers: list[Any] = [self.schema.BufferT()]  # the first one is empty by convention
        self.tensors: list[Any] = []
        self.numbers: dict[str, int] = {}
        """position of each tensor by its name in the float graph"""
        self.operators: list[Any] = []
        self.codes: list[int] = []
        self._add_tensor(graph.input, (1, side, side, 3))
        for node in graph.nodes:
            self._add_node(node)

    def model(self) -> bytes:
        """Return the file's bytes."""
        import flatbuffers  # noqa: PLC0415 - comes with ONNX Runtime

        schema = self.schema
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs = [self.numbers[self.graph.input]]
        subgraph.outputs = [self.numbers[self.graph.output]]
        model = schema.ModelT()
        model.version, model.description = SCHEMA_VERSION, b"U2-Net"
        model.operatorCodes = [self._operator_code(code) for code in self.codes]
        model.subgraphs, model.buffers = [subgraph], self.buffers
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _operator_code(self, code: int) -> Any:
        operator_code = self.schema.OperatorCodeT()
        operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
        operator_code.version = 1
        return operator_code

    def _add_node(self, node: NodeProto) -> None:
        schema, operators = self.schema, self.schema.BuiltinOperator
        inputs = [self.numbers[name] for name in self.graph.inputs(node)]
        _, rows, columns, channels = self.tensors[inputs[0]].shape
        output, parameters = node.output[0], None
        match node.op_type:
            case "Conv":
                self._add_convolution(node, inputs[0])
                return
            case "Relu":
                code = operators.RELU
            case "Sigmoid":
                code = operators.LOGISTIC
            case "MaxPool":
                code, parameters = operators.MAX_POOL_2D, schema.Pool2DOptionsT()
                parameters.padding = schema.Padding.SAME  # as ONNX's ceil_mode
                parameters.strideW = parameters.strideH = 2
                parameters.filterWidth = parameters.filterHeight = 2
                rows, columns = -(-rows // 2), -(-columns // 2)
            case "Resize":
                factor = self.graph.factors[output]
                rows, columns = rows * factor, columns * factor
                size = np.array([rows, columns], np.int32)
                inputs.append(self._add_constant(f"{output}.size", size))
                code, parameters = operators.RESIZE_BILINEAR, schema.ResizeBilinearOptionsT()
                parameters.halfPixelCenters = True
            case "Concat":
                code, parameters = operators.CONCATENATION, schema.ConcatenationOptionsT()
                parameters.axis = CHANNELS_LAST
                channels = sum(self.tensors[number].shape[3] for number in inputs)
            case _:  # "Add", as FloatGraph has no other
                code, parameters = operators.ADD, schema.AddOptionsT()
        self._add_tensor(output, (1, rows, columns, channels))
        self._add_operator(code, inputs, output, parameters)

    def _add_convolution(self, node: NodeProto, source: int) -> None:
        """Add a convolution of stride 1 whose output has the size of its input."""
        schema = self.schema
        weights, biases = (self.graph.weights[name] for name in node.input[1:])
        _, rows, columns, _ = self.tensors[source].shape
        output = node.output[0]
        kernel = self._add_constant(node.input[1], weights.transpose(0, 2, 3, 1))
        bias = self._add_constant(node.input[2], biases)
        parameters = schema.Conv2DOptionsT()
        parameters.padding = schema.Padding.SAME
        parameters.strideW = parameters.strideH = 1
        dilation = options(node)["dilations"]
        parameters.dilationHFactor, parameters.dilationWFactor = dilation
        self._add_tensor(output, (1, rows, columns, len(weights)))
        inputs = [source, kernel, bias]
        self._add_operator(schema.BuiltinOperator.CONV_2D, inputs, output, parameters)

    def _add_operator(self, code: int, inputs: list[int], output: str, parameters: Any) -> None:
        schema = self.schema
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = inputs, [self.numbers[output]]
        if parameters is not None:
            name = type(parameters).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = parameters
        self.operators.append(operator)

    def _add_constant(self, name: str, array: np.ndarray[Any, Any]) -> int:
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.buffers.append(buffer)
        return self._add_tensor(name, array.shape, array.dtype, len(self.buffers) - 1)

    def _add_tensor(
        self, name: str, shape: tuple[int, ...], dtype: Any = np.float32, buffer: int = 0
    ) -> int:
        """Add a tensor and return its position."""
        types = self.schema.TensorType
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), buffer
        tensor.type = types.INT32 if dtype == np.int32 else types.FLOAT32
        self.numbers[name] = len(self.tensors)
        self.tensors.append(tensor)
        return self.numbers[name]
