"""What a network computes on the way to its output."""

from collections.abc import Iterable, Iterator
from typing import Any

import onnxruntime as ort
from onnx import helper

from worker.imaging.arrays import Float32Array
from worker.models.graph import onnx_file
from worker.models.graph.float_graph import FloatGraph


def session_of(model: str | bytes) -> Any:
    """Return ONNX Runtime's session of a file at a path, or of its bytes."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def observed(
    graph: FloatGraph, names: Iterable[str], inputs: Iterable[Float32Array]
) -> Iterator[dict[str, Float32Array]]:
    """Yield the tensors of these names for each input: float32 [1, channels, side, side]."""
    model, wanted = onnx_file.model_of(graph, graph.side, "observed"), [*dict.fromkeys(names)]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    session = session_of(model.SerializeToString())
    for tensor in inputs:
        yield dict(zip(wanted, session.run(wanted, {graph.input: tensor}), strict=True))
