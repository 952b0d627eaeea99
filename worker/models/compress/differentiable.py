"""A network in JAX, so that its weights can be trained."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from worker.models.graph.float_graph import FloatGraph, options

Arrays = dict[str, jax.Array]
LAYOUT = ("NCHW", "OIHW", "NCHW")


def run(graph: FloatGraph, weights: Arrays, pictures: jax.Array, names: Iterable[str]) -> Arrays:
    """Return the tensors of these names for `pictures`, float32 [count, 3, side, side]."""
    values = {graph.input: pictures}
    for node in graph.nodes:
        first, *others = (values[name] for name in graph.inputs(node))
        values[node.output[0]] = _run(graph, node, weights, first, others)
    return {name: values[name] for name in names}


def _run(
    graph: FloatGraph, node: Any, weights: Arrays, first: jax.Array, others: list[jax.Array]
) -> jax.Array:
    operator = node.op_type
    if operator == "Conv":
        attributes = options(node)
        padding = attributes["pads"][0]
        result = lax.conv_general_dilated(
            first, weights[node.input[1]], (1, 1), [(padding, padding)] * 2,
            rhs_dilation=attributes["dilations"], dimension_numbers=LAYOUT,
        )  # fmt: skip
        result += weights[node.input[2]][:, None, None]
    elif operator == "Relu":
        result = jnp.maximum(first, 0)
    elif operator == "MaxPool":  # an odd side is rounded up
        odd, window = (0, first.shape[2] % 2), (1, 1, 2, 2)
        paddings = [(0, 0), (0, 0), odd, odd]
        result = lax.reduce_window(first, -jnp.inf, lax.max, window, window, paddings)
    elif operator == "Resize":
        factor = graph.factors[node.output[0]]
        count, channels, side, _ = first.shape
        shape = (count, channels, side * factor, side * factor)
        result = jax.image.resize(first, shape, "linear")
    elif operator == "Concat":
        result = jnp.concatenate([first, *others], axis=1)
    elif operator == "Add":
        result = first + others[0]
    else:
        result = jax.nn.sigmoid(first)
    return result
