"""The order in which a U²-Net is made smaller, until a share of its multiplications is left.

By what it costs in the mattes for what it saves, measured on U²-Net and U²-NetP (docs/adr/0009):
first what changes them least. Two changes are made in any case: convolutions read enlarged features
before they are enlarged, and nearly constant channels, which INT8 networks need float convolutions
for, are removed.
"""

from collections.abc import Callable, Iterator

from worker.imaging.arrays import Float32Array
from worker.models.compress.channels import read_side_by_side
from worker.models.compress.late_enlarging import enlarge_late, late_candidates
from worker.models.compress.narrowing import narrow
from worker.models.graph.float_graph import FloatGraph
from worker.models.int8.calibrate import measure_ranges

LAST_STAGE = (0.25, 0.5)
"""Shares of channels kept of the two groups that only the last side output reads: the stage's
output, and its input."""
ENCODER, ENCODER_STAGES = 0.75, 4
"""Share of channels kept of the outputs of the first encoder stages, one stage after another."""


def smaller(
    graph: FloatGraph, target: float, inputs: list[Float32Array], tell: Callable[[float], None]
) -> FloatGraph:
    """Return a network with at most `target` of the multiplications, 0..1, or the smallest.

    Its weights are fitted to `inputs`, float32 [1, 3, side, side] each. `tell` is called with the
    share that is left after each change.
    """
    for small in _ever_smaller(graph, inputs):
        late = enlarge_late(small, late_candidates(small).keys())
        share = late.multiplications / graph.multiplications
        tell(share)
        if share <= target:
            break
    return late


def _ever_smaller(graph: FloatGraph, inputs: list[Float32Array]) -> Iterator[FloatGraph]:
    sums = [node for node in graph.nodes if node.op_type == "Add"]
    channels = graph.channels
    graph = _without_constant_channels(graph, inputs)
    yield graph
    graph = read_side_by_side(graph)
    for operand, share in zip(sums[-1].input, LAST_STAGE, strict=True):
        graph = narrow(graph, operand, int(channels[operand] * share), inputs)
    yield graph
    for stage in sums[:ENCODER_STAGES]:
        name = stage.output[0]
        graph = narrow(graph, name, int(channels[name] * ENCODER), inputs)
        yield graph


def _without_constant_channels(graph: FloatGraph, inputs: list[Float32Array]) -> FloatGraph:
    for name, ranges in measure_ranges(graph, inputs).items():
        constant = [number for number, (low, _) in enumerate(ranges) if low > 0]
        if len(ranges) > 1 and constant:
            kept = len(ranges) - len(constant)
            graph = narrow(graph, name, kept, inputs, unwanted=constant)
    return graph
