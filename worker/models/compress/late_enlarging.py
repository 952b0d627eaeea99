"""Fewer multiplications: features are enlarged after a convolution instead of before it.

Many convolutions of a U²-Net read deeper features, enlarged to twice their side, beside features
of their own size. Their sum over the inputs falls into two halves. The first one, computed before
it is enlarged, takes a quarter of the multiplications. Its kernel must then shift by half a pixel
where it shifted by a whole one, and cannot exactly: hence a small loss.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from worker.imaging.arrays import Float32Array
from worker.models.graph.float_graph import BESIDE, DEEP, FloatGraph, options

HALF_A_PIXEL = (0.4707, 0.6421, -0.1110)
"""Kernel that shifts by half a pixel: the least squares solution, over both phases of a linear
enlargement to twice the side, for features whose neighbours correlate by 0.95. It misses 0.3 % of
their energy."""
KERNEL = 3
"""Side of the kernels that read enlarged features beside others."""
TWICE = 2
"""The scale factor of the enlargement."""
MIN_CHANNELS, MIN_SAVING = 32, 0.002
"""Of the enlarged features, and as a share of all multiplications. With less, enlarging the results
takes INT8 networks longer than the multiplications that are saved."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Halves:
    """A convolution that reads enlarged features beside others."""

    convolution: NodeProto
    deep: str
    """name of the tensor that is enlarged"""
    beside: str
    """name of the other tensor"""
    channels: int
    """of the enlarged tensor"""


def late_candidates(graph: FloatGraph) -> dict[str, Halves]:
    """Return the convolutions worth computing before enlarging, by the name of their output."""
    producers = {node.output[0]: node for node in graph.nodes}
    sides, channels, found = graph.sides, graph.channels, dict[str, Halves]()
    for node in graph.nodes:
        concat, name = producers.get(node.input[0]), node.output[0]
        if node.op_type != "Conv" or concat is None or concat.op_type != "Concat":
            continue
        enlarged, *others = concat.input
        resize = producers[enlarged]
        if (
            len(others) != 1
            or graph.factors.get(enlarged) != TWICE
            or channels[enlarged] < MIN_CHANNELS
        ):
            continue
        early = channels[name] * channels[enlarged] * KERNEL**2 * sides[name] ** 2
        saving = early - early // TWICE**2
        if saving > MIN_SAVING * graph.multiplications:
            found[name] = Halves(node, resize.input[0], others[0], channels[enlarged])
    return found


def enlarge_late(graph: FloatGraph, names: AbstractSet[str]) -> FloatGraph:
    """Return the graph with these convolutions computed before enlarging.

    The same input gives the same weights, bit for bit, on every machine. Raises KeyError for a name
    that is not among the `late_candidates`.
    """
    candidates = late_candidates(graph)
    chosen = {name: candidates[name] for name in names}
    weights, factors, nodes = dict(graph.weights), dict(graph.factors), list[NodeProto]()
    for node in graph.nodes:
        name = node.output[0]
        if name not in chosen:
            nodes.append(node)
            continue
        halves, (_, weight, bias) = chosen[name], node.input
        kernels = weights[weight].astype(np.float64)
        weights |= {
            f"{name}{DEEP}.weight": _before_enlarging(kernels[:, : halves.channels]),
            f"{name}{DEEP}.bias": np.zeros(len(kernels), np.float32),
            f"{name}{BESIDE}.weight": weights[weight][:, halves.channels :],
        }
        factors[f"{name}.enlarged"] = TWICE
        deep = [halves.deep, f"{name}{DEEP}.weight", f"{name}{DEEP}.bias"]
        beside = [halves.beside, f"{name}{BESIDE}.weight", bias]
        nodes += [
            _node("Conv", deep, f"{name}{DEEP}", node),
            _node("Resize", [f"{name}{DEEP}"], f"{name}.enlarged"),
            _node("Conv", beside, f"{name}{BESIDE}", node),
            _node("Add", [f"{name}.enlarged", f"{name}{BESIDE}"], name),
        ]
    return replace(graph, nodes=nodes, weights=weights, factors=factors).without_unneeded()


def _before_enlarging(kernels: Doubles) -> Float32Array:
    """Return the kernels, float [outputs, inputs, 3, 3], for features of half the side."""
    taps = np.array([HALF_A_PIXEL, (0, 1, 0), HALF_A_PIXEL[::-1]])
    result = np.zeros_like(kernels)
    # products and sums one by one: a matrix product may round differently on another machine
    for row in range(KERNEL):
        for column in range(KERNEL):
            for tap_row in range(KERNEL):
                for tap_column in range(KERNEL):
                    share = taps[row, tap_row] * taps[column, tap_column]
                    result[:, :, tap_row, tap_column] += kernels[:, :, row, column] * share
    return result.astype(np.float32)


def _node(
    operator: str, inputs: list[str], output: str, like: NodeProto | None = None
) -> NodeProto:
    attributes = options(like) if like is not None else {}
    return helper.make_node(operator, inputs, [output], name=output, **attributes)
