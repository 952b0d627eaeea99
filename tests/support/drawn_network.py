"""A small network of U²-Net's operators, with drawn weights."""

from dataclasses import replace

import numpy as np
from onnx import NodeProto, helper

from worker.models.graph.float_graph import FloatGraph

SIDE = 64
ATTRIBUTES = {
    "kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1],
    "group": 1,
}  # fmt: skip


def convolution(name: str, source: str) -> NodeProto:
    inputs = [source, f"{name}.weight", f"{name}.bias"]
    return helper.make_node("Conv", inputs, [name], name=name, **ATTRIBUTES)


def drawn(channels: int = 32) -> FloatGraph:
    """Return a network with one level: `last` reads what `deep` gives, enlarged, and `shallow`."""
    random = np.random.default_rng(5)
    shapes = {
        "shallow": (16, 3), "deep": (channels, 16), "last": (16, channels + 16), "side": (1, 16),
    }  # fmt: skip
    weights = {
        f"{name}.weight": random.normal(0, (9 * shape[1]) ** -0.5, (*shape, 3, 3)).astype("f4")
        for name, shape in shapes.items()
    }
    weights |= {f"{name}.bias": np.full(shape[0], 0.1, "f4") for name, shape in shapes.items()}
    node = helper.make_node
    nodes = [
        convolution("shallow", "photograph"),
        node("Relu", ["shallow"], ["shallow.relu"]),
        node("MaxPool", ["shallow.relu"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        convolution("deep", "pooled"),
        node("Relu", ["deep"], ["deep.relu"]),
        node("Resize", ["deep.relu"], ["enlarged"]),
        node("Concat", ["enlarged", "shallow.relu"], ["both"], axis=1),
        convolution("last", "both"),
        node("Relu", ["last"], ["last.relu"]),
        convolution("side", "last.relu"),
        node("Concat", ["side"], ["sides"], axis=1),
        convolution("fused", "sides"),
        node("Sigmoid", ["fused"], ["matte"]),
    ]
    weights |= {"fused.weight": np.zeros((1, 1, 3, 3), "f4"), "fused.bias": np.zeros(1, "f4")}
    weights["fused.weight"][0, 0, 1, 1] = 1
    return FloatGraph("photograph", "matte", SIDE, nodes, weights, {"enlarged": 2})


def inputs() -> list[np.ndarray]:
    """Return smooth pictures: float32 [1, 3, side, side]."""
    rows, columns = np.mgrid[0:1:64j, 0:1:64j]
    return [
        np.stack([np.sin(rows * a + columns * b) for b in (1, 3, 5)])[None].astype("f4")
        for a in (1, 2, 3)
    ]


def with_sum() -> FloatGraph:
    """Return the drawn network whose side output reads the sum of two convolutions' outputs."""
    graph, weights = drawn(), dict(drawn().weights)
    weights["other.weight"], weights["other.bias"] = weights["last.weight"][::-1], np.ones(16, "f4")
    nodes = []
    for node in graph.nodes:
        if node.output[0] == "side":
            like = next(n for n in graph.nodes if n.output[0] == "last")
            attributes = {a.name: helper.get_attribute_value(a) for a in like.attribute}
            inputs_of = ["both", "other.weight", "other.bias"]
            nodes += [
                helper.make_node("Conv", inputs_of, ["other"], name="other", **attributes),
                helper.make_node("Relu", ["other"], ["other.relu"]),
                helper.make_node("Add", ["last.relu", "other.relu"], ["sum"]),
            ]
            node = helper.make_node(  # noqa: PLW2901 - the same node, with another input
                "Conv", ["sum", *node.input[1:]], ["side"], name="side", **attributes
            )
        nodes.append(node)
    return replace(graph, nodes=nodes, weights=weights)
