"""Features enlarged after a convolution instead of before it, on a drawn network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.drawn_network import SIDE, drawn, inputs

from worker.imaging.u2net import IMAGENET
from worker.models.compress.late_enlarging import enlarge_late, late_candidates
from worker.models.graph.float_graph import BESIDE, DEEP, FloatGraph
from worker.models.int8.calibrate import mattes_of, measure_loss, measure_ranges
from worker.models.int8.quantize import build


def test_the_half_that_is_enlarged_takes_a_quarter_of_the_multiplications():
    graph = drawn()
    late = enlarge_late(graph, {"last"})
    early = 16 * 32 * 9 * SIDE**2
    assert graph.multiplications - late.multiplications == early * 3 // 4
    assert late.sides["last"] == SIDE
    assert {"last" + DEEP, "last" + BESIDE} == late.halves.keys()


def inner_difference(graph: FloatGraph) -> float:
    """Return how far the graph's mattes are from those of the drawn network, borders aside."""
    pairs = zip(mattes_of(drawn(), inputs()), mattes_of(graph, inputs()), strict=True)
    return float(np.mean([np.abs(a - b)[..., 4:-4, 4:-4].mean() for a, b in pairs]))


def test_it_computes_nearly_the_same():
    late = enlarge_late(drawn(), {"last"})
    as_before = {f"last{DEEP}.weight": drawn().weights["last.weight"][:, :32]}
    not_halved = replace(late, weights=late.weights | as_before)
    assert 0 < inner_difference(late) < 0.03
    assert inner_difference(not_halved) > 2 * inner_difference(late)


def test_in_bytes_it_computes_nearly_the_same(tmp_path: Path):
    late = enlarge_late(drawn(), {"last"})
    path = tmp_path / "late.onnx"
    path.write_bytes(build(late, measure_ranges(late, inputs()), IMAGENET))
    assert measure_loss(late, path, inputs()).mae < 0.02


def test_none_is_the_network_itself():
    graph = drawn()
    assert enlarge_late(graph, set()).nodes == graph.nodes


def test_what_enlarges_few_channels_is_left_as_it_is():
    assert late_candidates(drawn(channels=16)) == {}
    with pytest.raises(KeyError):
        enlarge_late(drawn(channels=16), {"last"})
