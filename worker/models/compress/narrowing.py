"""Fewer channels: those are removed that the others replace best.

A convolution's weights for the channels that are left are fitted by least squares to what it
computed before, on photographs. The error of removing a channel is that of the convolutions that
read it after this: the block form of the "optimal brain surgeon" (Hassibi and Stork, 1993).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from worker.imaging.arrays import Float32Array
from worker.models.compress.channels import channels, group_of, without
from worker.models.graph.float_graph import FloatGraph, options
from worker.models.graph.observed import observed

SAMPLES = 2000
"""Positions at which a convolution is fitted, in each photograph."""
AT_EDGES, AT_BORDER = 0.55, 0.1
"""Shares of them near the edges of subjects, where errors are seen, and at the picture's border,
where the padding is read."""
REACH, EDGE_RANGE = 3, 0.15
"""A position is near an edge if the matte varies by more than EDGE_RANGE within REACH pixels."""
MAX_INPUTS = 2400
"""A convolution that reads more inputs (channels x taps) is fitted in those of the group alone: a
larger covariance takes gigabytes and minutes."""
SEED = 1
"""Of the random positions: the same photographs give the same network."""
RIDGE = 1e-4
"""Share of the mean variance added to all variances, so that they can be inverted."""

Doubles = NDArray[np.float64]
Places = NDArray[np.intp]


class Fit:
    """A convolution that reads a group, fitted to reproduce its outputs on the samples."""

    def __init__(self, graph: FloatGraph, node: NodeProto, name: str) -> None:
        self.node = node
        self._original = graph.weights[node.input[1]].astype(np.float64)
        self._taps = self._original[0, 0].size
        read = channels(graph)[node.input[0]]
        of_group = [place for place, (group, _) in enumerate(read) if group == name]
        whole = len(read) * self._taps <= MAX_INPUTS
        self._channels = [*range(len(read))] if whole else of_group
        self._place_of = {read[place][1]: self._channels.index(place) for place in of_group}
        inputs = len(self._channels) * self._taps
        self._count, self._sums = 0, np.zeros(inputs)
        self._products = np.zeros((inputs, inputs))
        self._weight = self._original[:, self._channels].reshape(len(self._original), -1).T.copy()
        self._inverse = np.zeros(0)
        self._scale = 0.0

    def add(self, features: Float32Array, places: Places) -> None:
        """Add samples of what the convolution reads, float32 [channels, side, side]."""
        step = options(self.node)["dilations"][0]
        read = patches(features[self._channels], places, self._original.shape[-1], step)
        self._count += len(read)
        self._sums += read.sum(0, dtype=np.float64)
        self._products += read.T @ read

    def solve(self) -> None:
        """Prepare for `errors`, once all samples are added."""
        mean = self._sums / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        variance = float((self._weight * (covariance @ self._weight)).sum())
        ridge = RIDGE * np.trace(covariance) / len(covariance)
        self._inverse = np.linalg.inv(covariance + np.eye(len(covariance)) * ridge)
        self._scale = 1 / variance

    def errors(self, numbers: list[int]) -> Doubles:
        """Return the share of the variance that is lost with each channel: float64 [channels]."""
        rows = np.array([self._rows(number) for number in numbers])
        blocks, weights = self._inverse[rows[:, :, None], rows[:, None, :]], self._weight[rows]
        lost: Doubles = np.einsum("cto,cto->c", weights, np.linalg.solve(blocks, weights))
        return lost * self._scale

    def remove(self, number: int) -> None:
        """Remove a channel and fit the weights of the others again."""
        rows = self._rows(number)
        gain = self._inverse[:, rows] @ np.linalg.inv(self._inverse[np.ix_(rows, rows)])
        self._weight -= gain @ self._weight[rows]
        self._inverse -= gain @ self._inverse[rows]
        self._weight[rows] = self._inverse[rows] = self._inverse[:, rows] = 0
        self._inverse[rows, rows] = 1  # so that blocks of removed channels stay invertible

    def fitted(self, bias: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the weights, and the bias that keeps the mean outputs."""
        weight = self._original.copy()
        read = self._weight.T.reshape(len(weight), len(self._channels), *weight.shape[2:])
        change = (weight[:, self._channels] - read).reshape(len(weight), -1)
        weight[:, self._channels] = read
        shifted = bias + change @ (self._sums / self._count)
        return weight.astype(np.float32), shifted.astype(np.float32)

    def _rows(self, number: int) -> Places:
        rows: Places = self._place_of[number] * self._taps + np.arange(self._taps)
        return rows


def narrow(
    graph: FloatGraph, tensor: str, kept: int, inputs: list[Float32Array],
    unwanted: Sequence[int] = (),
) -> FloatGraph:  # fmt: skip
    """Return the graph in which the group that `tensor` belongs to has `kept` channels.

    `inputs`: network inputs, float32 [1, 3, side, side]. `unwanted`: channels to remove first,
    whatever they are worth.
    """
    group_name, group = group_of(graph, tensor)
    fits = [Fit(graph, node, group_name) for node in group.readers]
    rng, sides = np.random.default_rng(SEED), graph.sides
    names = [fit.node.input[0] for fit in fits]
    for computed in observed(graph, [graph.output, *names], inputs):
        for fit, name in zip(fits, names, strict=True):
            drawn = places(computed[graph.output][0, 0], sides[name], rng)
            fit.add(computed[name][0], drawn)
    for fit in fits:
        fit.solve()
    left, first = [*range(group.size)], [*unwanted]
    while len(left) > kept:
        if first:
            removed = first.pop()
        else:
            removed = left[int(np.sum([fit.errors(left) for fit in fits], axis=0).argmin())]
        left.remove(removed)
        for fit in fits:
            fit.remove(removed)
    weights = dict(graph.weights)
    for fit in fits:
        _, weight, bias = fit.node.input
        weights[weight], weights[bias] = fit.fitted(weights[bias])
    return without(replace(graph, weights=weights), group_name, {*range(group.size)} - {*left})


def places(matte: Float32Array, side: int, rng: np.random.Generator) -> Places:
    """Draw positions in feature maps of side x side: int [SAMPLES], or all if there are fewer."""
    if side * side <= SAMPLES:
        return np.arange(side * side)
    block = len(matte) // side
    edges = np.flatnonzero(_near_edge(matte.reshape(side, block, side, block).mean((1, 3))))
    line = np.arange(side)
    border = np.concatenate([line, side * (side - 1) + line, side * line, side * line + side - 1])
    at_edges = int(SAMPLES * AT_EDGES) if len(edges) else 0
    at_border = int(SAMPLES * AT_BORDER)
    anywhere = rng.integers(0, side * side, SAMPLES - at_edges - at_border)
    drawn = [anywhere, rng.choice(border, at_border)]
    if at_edges:
        drawn.append(rng.choice(edges, at_edges))
    return np.concatenate(drawn)


def _near_edge(matte: Float32Array) -> NDArray[np.bool_]:
    low, high = matte, matte
    padded = np.pad(matte, REACH, "edge")
    for axis, side in enumerate(matte.shape):
        for shift in range(2 * REACH + 1):
            line = padded.take(range(shift, shift + side), axis)
            moved = line[:, REACH:-REACH] if axis == 0 else line[REACH:-REACH]
            low, high = np.minimum(low, moved), np.maximum(high, moved)
    near: NDArray[np.bool_] = high - low > EDGE_RANGE
    return near


def patches(features: Float32Array, places: Places, kernel: int, step: int) -> Float32Array:
    """Return what a convolution with a `kernel` x `kernel` window reads at each place.

    From float32 [channels, side, side] to float32 [places, channels * kernel * kernel], in the
    order of the convolution's weights. `step`: its dilation.
    """
    count, _, side = features.shape
    reach = kernel // 2 * step
    padded = np.pad(features, ((0, 0), (reach, reach), (reach, reach)))
    rows, columns = np.divmod(places, side)
    read = np.empty((len(places), count, kernel, kernel), np.float32)
    for row in range(kernel):
        for column in range(kernel):
            read[:, :, row, column] = padded[:, rows + row * step, columns + column * step].T
    return read.reshape(len(places), -1)
