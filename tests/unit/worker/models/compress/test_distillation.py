from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from support.drawn_network import SIDE, inputs, with_sum

from contract.errors import CutoutError
from worker.models.compress import distillation
from worker.models.compress.differentiable import run
from worker.models.compress.distillation import Checkpoint, distil
from worker.models.compress.narrowing import narrow
from worker.models.graph.float_graph import FloatGraph
from worker.models.int8.calibrate import mattes_of

STEPS = 60


def batch(number: int) -> np.ndarray:
    """Return smooth pictures: float32 [4, 3, side, side]."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    waves = rng.uniform(-6, 6, (4, 3, 2))
    return np.stack(
        [[np.sin(rows * a + columns * b) for a, b in picture] for picture in waves]
    ).astype("f4")


def small() -> FloatGraph:
    return narrow(with_sum(), "deep.relu", 8, inputs())


def difference(one: FloatGraph, other: FloatGraph) -> float:
    pictures = [picture[None] for picture in batch(10_000)]
    pairs = zip(mattes_of(one, pictures), mattes_of(other, pictures), strict=True)
    return float(np.mean([np.abs(a - b).mean() for a, b in pairs]))


def test_jax_computes_what_onnx_runtime_computes():
    graph = with_sum()
    weights = {name: jnp.asarray(value) for name, value in graph.weights.items()}
    pictures = np.concatenate(inputs())
    (fused,) = run(graph, weights, jnp.asarray(pictures), ["matte"]).values()
    for one, expected in zip(np.asarray(fused), mattes_of(graph, inputs()), strict=True):
        stretched = (one - one.min()) / (one.max() - one.min())
        np.testing.assert_allclose(stretched, expected[0], atol=1e-4)


def test_training_brings_the_mattes_nearer(tmp_path: Path):
    losses: list[float] = []
    state = Checkpoint(tmp_path / "state.npz", "a")
    trained = distil(
        with_sum(), small(), batch, STEPS, state, lambda _, loss: losses.append(loss)
    )  # fmt: skip
    assert len(losses) == STEPS
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert difference(with_sum(), trained) < 0.8 * difference(with_sum(), small())
    assert trained.multiplications == small().multiplications


@pytest.mark.parametrize(("error", "next_step"), [(KeyboardInterrupt, 8), (MemoryError, 5)])
def test_an_interrupted_training_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch, error: type[BaseException], next_step: int
):
    monkeypatch.setattr(distillation, "SAVED_EVERY", 4)

    def interrupted(step: int, _: float) -> None:
        if step == 7:
            raise error

    resumed = Checkpoint(tmp_path / "b.npz", "b")
    whole = distil(
        with_sum(), small(), batch, 10, Checkpoint(tmp_path / "a.npz", "a"), lambda *_: None
    )
    with pytest.raises(error):
        distil(with_sum(), small(), batch, 10, resumed, interrupted)
    seen: list[int] = []
    again = distil(with_sum(), small(), batch, 10, resumed, lambda step, _: seen.append(step))
    assert seen == [*range(next_step, 11)]
    for name in small().weights:
        np.testing.assert_array_equal(again.weights[name], whole.weights[name])


def test_a_network_that_is_the_original_stays_it(tmp_path: Path):
    trained = distil(
        with_sum(), with_sum(), batch, 0, Checkpoint(tmp_path / "state.npz", "a"), lambda *_: None
    )
    assert difference(with_sum(), trained) < 1e-5
    shifted = replace(with_sum(), weights=with_sum().weights | {"last.bias": np.ones(16, "f4")})
    assert difference(with_sum(), shifted) > 0.01


def test_the_state_of_another_training_or_a_damaged_one_is_not_used(tmp_path: Path):
    path, state = tmp_path / "state.npz", {"trained": {"a": jnp.zeros(3)}}
    assert Checkpoint(path, "one").load() is None
    Checkpoint(path, "one").save(state, 4)
    restored = Checkpoint(path, "one").load()
    assert restored
    assert restored[1] == 4
    assert Checkpoint(path, "other").load() is None
    for length in (0, 10, path.stat().st_size // 2):
        path.write_bytes(path.read_bytes()[:length])
        assert Checkpoint(path, "one").load() is None


def test_a_checkpoint_that_cannot_be_written_is_an_error(tmp_path: Path):
    with pytest.raises(CutoutError, match=r"CUTOUT_MODEL_DIR: .* cannot be written"):
        Checkpoint(tmp_path / "none" / "state.npz", "one").save({"trained": {}}, 1)
