"""Which channels of a network belong together, and the network without some of them."""

from dataclasses import dataclass, field, replace

import numpy as np
from onnx import NodeProto, helper

from worker.models.graph.float_graph import FloatGraph

Channel = tuple[str, int]
"""A group's name and a channel's number in it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The output of a convolution, or of several whose outputs are added: channel by channel."""

    size: int
    """number of channels"""
    readers: list[NodeProto] = field(default_factory=list)
    """the convolutions that read them"""


def channels(graph: FloatGraph) -> dict[str, list[Channel]]:
    """Return the channels of every tensor, by its name. Those of the input are a group, too."""
    same: dict[Channel, Channel] = {}

    def first_of(channel: Channel) -> Channel:
        while channel in same:
            channel = same[channel]
        return channel

    found: dict[str, list[Channel]] = {graph.input: [(graph.input, i) for i in range(3)]}
    for node in graph.nodes:
        output = node.output[0]
        if node.op_type == "Conv":
            count = len(graph.weights[node.input[1]])
            found[output] = [(output, number) for number in range(count)]
            continue
        first, *others = (found[name] for name in graph.inputs(node))
        if node.op_type == "Concat":
            first = [*first, *(channel for other in others for channel in other)]
        elif node.op_type == "Add":
            for one, other in zip(first, others[0], strict=True):
                if first_of(one) != first_of(other):
                    same[first_of(other)] = first_of(one)
        found[output] = first
    return {name: [first_of(channel) for channel in listed] for name, listed in found.items()}


def group_of(graph: FloatGraph, tensor: str) -> tuple[str, Group]:
    """Return the group that a convolution's, a ReLU's or a sum's output is, with its name."""
    by_tensor = channels(graph)
    (name,) = {name for name, _ in by_tensor[tensor]}
    readers = [
        node for node in graph.convolutions
        if any(group == name for group, _ in by_tensor[node.input[0]])
    ]  # fmt: skip
    return name, Group(len(by_tensor[tensor]), readers)


def without(graph: FloatGraph, name: str, removed: set[int]) -> FloatGraph:
    """Return the graph without some channels of a group."""
    by_tensor, weights = channels(graph), dict(graph.weights)

    def kept(tensor: str) -> list[int]:
        return [
            position
            for position, (group, number) in enumerate(by_tensor[tensor])
            if group != name or number not in removed
        ]

    for node in graph.convolutions:
        source, weight, bias = node.input
        outputs = kept(node.output[0])
        weights[weight] = np.ascontiguousarray(weights[weight][outputs][:, kept(source)])
        weights[bias] = weights[bias][outputs]
    return replace(graph, weights=weights)


def read_side_by_side(graph: FloatGraph) -> FloatGraph:
    """Return the graph whose last sum, which only a side output reads, is no sum any more.

    The side output reads the two operands side by side instead, with the same weights for both: it
    computes the same, but its operands can then be made narrower independently.
    """
    last = [node for node in graph.nodes if node.op_type == "Add"][-1]
    (reader,) = (node for node in graph.convolutions if node.input[0] == last.output[0])
    beside = helper.make_node("Concat", list(last.input), list(last.output), axis=1)
    weight = graph.weights[reader.input[1]]
    return replace(
        graph,
        nodes=[beside if node is last else node for node in graph.nodes],
        weights=graph.weights | {reader.input[1]: np.concatenate([weight, weight], axis=1)},
    )
