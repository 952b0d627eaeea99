from dataclasses import replace

import numpy as np
from support.drawn_network import drawn, inputs, with_sum

from worker.models.compress.channels import group_of, read_side_by_side, without
from worker.models.compress.narrowing import SAMPLES, narrow, patches, places
from worker.models.graph.float_graph import FloatGraph
from worker.models.int8.calibrate import mattes_of


def difference(one: FloatGraph, other: FloatGraph) -> float:
    pairs = zip(mattes_of(one, inputs()), mattes_of(other, inputs()), strict=True)
    return float(np.mean([np.abs(a - b).mean() for a, b in pairs]))


def test_a_group_is_read_through_all_that_only_copies_channels():
    name, group = group_of(drawn(), "deep.relu")
    assert (name, group.size) == ("deep", 32)
    assert [node.output[0] for node in group.readers] == ["last"]
    _, shallow = group_of(drawn(), "shallow.relu")
    assert [node.output[0] for node in shallow.readers] == ["deep", "last"]


def test_outputs_that_are_added_are_one_group():
    name, group = group_of(with_sum(), "sum")
    assert group_of(with_sum(), "last.relu")[0] == group_of(with_sum(), "other.relu")[0] == name
    assert group.size == 16


def test_a_sum_read_side_by_side_gives_the_same_matte():
    beside = read_side_by_side(with_sum())
    assert difference(with_sum(), beside) < 1e-5
    assert group_of(beside, "last.relu")[0] != group_of(beside, "other.relu")[0]


def test_channels_that_are_removed_are_gone_everywhere():
    less = without(drawn(), "shallow", {3, 5})
    assert less.channels["both"] == 32 + 14
    assert less.weights["deep.weight"].shape == (32, 14, 3, 3)
    kept = [n for n in range(16) if n not in {3, 5}]
    np.testing.assert_array_equal(
        less.weights["shallow.bias"], drawn().weights["shallow.bias"][kept]
    )
    np.testing.assert_array_equal(
        less.weights["last.weight"][:, 32:], drawn().weights["last.weight"][:, 32:][:, kept]
    )
    mattes_of(less, inputs())  # it can be computed


def test_a_channel_that_repeats_others_costs_nothing():
    graph = drawn()
    weights = dict(graph.weights)
    for part in ("weight", "bias"):  # the second half repeats the first
        half = weights[f"deep.{part}"][:16]
        weights[f"deep.{part}"] = np.concatenate([half, half])
    repeated = replace(graph, weights=weights)
    small = narrow(repeated, "deep.relu", 16, inputs())
    assert small.channels["deep.relu"] == 16
    assert small.multiplications < 0.7 * repeated.multiplications
    assert difference(repeated, small) < 0.002
    cut = without(repeated, "deep", {*range(16, 32)})
    assert difference(repeated, cut) > 10 * difference(repeated, small)


def test_channels_that_are_unwanted_go_first():
    graph, unwanted = drawn(), (0, 7)
    small = narrow(graph, "deep.relu", 30, inputs(), unwanted)
    kept = [n for n in range(32) if n not in unwanted]
    np.testing.assert_array_equal(small.weights["deep.bias"], graph.weights["deep.bias"][kept])
    np.testing.assert_array_equal(small.weights["deep.weight"], graph.weights["deep.weight"][kept])


def test_patches_are_what_a_convolution_reads():
    rng = np.random.default_rng(1)
    features, weight = rng.normal(size=(2, 8, 8)).astype("f4"), rng.normal(size=(5, 2, 3, 3))
    at = np.array([0, 9, 63])
    for step in (1, 2):
        read = patches(features, at, 3, step)
        padded = np.pad(features, ((0, 0), (step, step), (step, step)))
        for place, row in zip(at, read @ weight.reshape(5, -1).T, strict=True):
            y, x = divmod(place, 8)
            window = padded[:, y : y + 2 * step + 1 : step, x : x + 2 * step + 1 : step]
            np.testing.assert_allclose(row, (weight * window).sum((1, 2, 3)), rtol=1e-4, atol=1e-5)


def test_most_places_are_near_edges():
    matte = np.zeros((320, 320), "f4")
    matte[:, 160:] = 1
    drawn_places = places(matte, 160, np.random.default_rng(0))
    assert len(drawn_places) == SAMPLES
    columns = drawn_places % 160
    assert ((columns > 75) & (columns < 85)).mean() > 0.5
    assert (columns == 0).mean() > 0.02
    np.testing.assert_array_equal(places(matte, 20, np.random.default_rng(0)), np.arange(400))
    assert len(places(matte * 0, 160, np.random.default_rng(0))) == SAMPLES  # no edges
