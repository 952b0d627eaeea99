"""Trains a smaller network to compute what the original computes, on photographs without masks.

The loss of a batch has two parts. Side outputs and the fused map: the Kullback-Leibler divergence
and half the absolute difference of the probabilities, with five times the weight at edges; a
photograph that the two networks judge quite differently pulls no more than one with a loss of
MAX_LOSS, as a few such photographs would drown the others. And the stages' outputs: the squared
difference, as a share of the original's variance.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from contract.errors import ErrorCode, PermanentError
from worker.imaging.arrays import Float32Array
from worker.models.compress.differentiable import Arrays, run
from worker.models.graph.float_graph import FloatGraph

LEARNING_RATE = 5e-4
"""Step of Adam, as a share of the mean size of the weights of a tensor."""
WARM_UP = 30
"""Steps in which the rate rises to it. Then it falls to zero, as a cosine."""
MOMENTS = (0.9, 0.99)
AVERAGED = 0.99
"""The result is a running average of the weights: this share of the earlier ones is kept."""
MAX_NORM = 5.0
"""Of the gradient."""
EDGE_REACH, EDGE_WEIGHT = 3, 4.0
FUSED, LARGEST, OTHERS = 1.0, 0.5, 0.15
"""Weights of the fused map, of the side output in full size, of the other side outputs."""
MAX_LOSS, MAX_STAGE_LOSS = 0.02, 0.03
MIN_DEVIATION, MIN_VARIANCE = 0.05, 0.02
"""Of a channel, as a share of the mean of all: channels that hardly vary count as varying so."""
BIAS_STEP, LEAST_RATE = 0.1, 0.02
EXAMPLE_BATCHES = 4
"""Batches on which the channels are measured."""
SAVED_EVERY = 50
TINY = 1e-12

Batches = Callable[[int], Float32Array]
"""Returns the network inputs of a step, float32 [BATCH, 3, side, side]: the same for one number."""
State = dict[str, Arrays]
"""What a step changes: the weights that are `trained`, scaled for normalised inputs, the `first`
and `second` moments of their gradient, and their running `average`."""


def distil(
    original: FloatGraph,
    small: FloatGraph,
    batch: Batches,
    steps: int,
    checkpoint: "Checkpoint",
    tell: Callable[[int, float], None],
) -> FloatGraph:
    """Return `small`, which was made from `original`, with trained weights.

    The state of the training is saved to `checkpoint` every SAVED_EVERY steps and at a
    KeyboardInterrupt, and read from there. `tell` is called after each step with its number, from
    1 on, and its loss.
    """
    examples = jnp.concatenate([jnp.asarray(batch(number)) for number in range(EXAMPLE_BATCHES)])
    inputs, targets = _Inputs(small, examples), _Targets(original, small, examples)
    scaled = inputs.scaled(_weights(small))
    sizes = _sizes(small, scaled)

    @jax.jit
    def trained(state: State, pictures: jax.Array, wanted: Arrays, step: jax.Array) -> Any:
        def loss(weights: Arrays) -> jax.Array:
            return targets.loss(run(small, inputs.plain(weights), pictures, targets.names), wanted)

        value, gradient = jax.value_and_grad(loss)(state["trained"])
        return value, _stepped(state, gradient, sizes, step, steps)

    state, done = checkpoint.load() or (_initial(scaled), 0)
    try:
        while done < steps:
            pictures = jnp.asarray(batch(done))
            value, after = trained(state, pictures, targets.of(pictures), jnp.asarray(done))
            state, done = after, done + 1
            tell(done, float(value))
            if done % SAVED_EVERY == 0:
                checkpoint.save(state, done)
    except KeyboardInterrupt:
        checkpoint.save(state, done)
        raise
    result = inputs.plain(state["average"])
    return replace(
        small, weights=small.weights | {name: np.asarray(value) for name, value in result.items()}
    )


class _Inputs:
    """What the convolutions of a network read, per channel: mean and deviation.

    Weights are trained for inputs of mean 0 and deviation 1, so that a step means the same for
    each. Without this, training diverges: some channels of a U²-Net hardly vary.
    """

    def __init__(self, graph: FloatGraph, examples: jax.Array) -> None:
        self._convolutions = graph.convolutions
        names = [*dict.fromkeys(node.input[0] for node in self._convolutions)]
        values = _computed(graph, names)(examples)
        self._means = {name: value.mean((0, 2, 3)) for name, value in values.items()}
        deviations = {name: value.std((0, 2, 3)) for name, value in values.items()}
        self._deviations = {
            name: jnp.maximum(value, MIN_DEVIATION * value.mean() + TINY)[:, None, None]
            for name, value in deviations.items()
        }

    def scaled(self, weights: Arrays) -> Arrays:
        """Return the weights for inputs of mean 0 and deviation 1."""
        found: Arrays = {}
        for node in self._convolutions:
            source, weight, bias = node.input
            found[weight] = weights[weight] * self._deviations[source]
            found[bias] = weights[bias] + self._shift(weights[weight], source)
        return found

    def plain(self, scaled: Arrays) -> Arrays:
        """Return the weights for the inputs as they are."""
        found: Arrays = {}
        for node in self._convolutions:
            source, weight, bias = node.input
            found[weight] = scaled[weight] / self._deviations[source]
            found[bias] = scaled[bias] - self._shift(found[weight], source)
        return found

    def _shift(self, weight: jax.Array, source: str) -> jax.Array:
        return jnp.einsum("oihw,i->o", weight, self._means[source])


class _Targets:
    """What the smaller network is to compute: side outputs, fused map, outputs of stages."""

    def __init__(self, original: FloatGraph, small: FloatGraph, examples: jax.Array) -> None:
        before, now = original.channels, small.channels
        sums = [node.output[0] for node in original.nodes if node.op_type == "Add"]
        self._stages = [name for name in sums if now.get(name) == before[name]]
        outputs = [node.output[0] for node in original.convolutions]
        self._logits = [name for name in outputs if before[name] == 1]
        self.names = [*self._logits, *self._stages]
        self.of = _computed(original, self.names)
        variances = {name: value.var((0, 2, 3)) for name, value in self.of(examples).items()}
        self._variances = {
            name: jnp.maximum(variances[name], MIN_VARIANCE * variances[name].mean())[:, None, None]
            for name in self._stages
        }

    def loss(self, outputs: Arrays, wanted: Arrays) -> jax.Array:
        """Return the loss of a batch."""
        *sides, fused = (_map_loss(outputs[name], wanted[name]) for name in self._logits)
        maps = FUSED * fused + LARGEST * sides[0] + OTHERS * sum(sides[1:])
        stages = [
            _bounded(_per_picture((outputs[name] - wanted[name]) ** 2 / variance), MAX_STAGE_LOSS)
            for name, variance in self._variances.items()
        ]
        return maps + sum(stages) / len(stages)


def _map_loss(logits: jax.Array, wanted: jax.Array) -> jax.Array:
    target = jax.nn.sigmoid(wanted)
    window, ones, reach = (1, 1, 2 * EDGE_REACH + 1, 2 * EDGE_REACH + 1), (1, 1, 1, 1), "SAME"
    high = lax.reduce_window(target, -jnp.inf, lax.max, window, ones, reach)
    low = lax.reduce_window(target, jnp.inf, lax.min, window, ones, reach)
    divergence = _cross_entropy(logits, target) - _cross_entropy(wanted, target)
    difference = jnp.abs(jax.nn.sigmoid(logits) - target)
    weighted = (divergence + 0.5 * difference) * (1 + EDGE_WEIGHT * (high - low))
    return _bounded(_per_picture(weighted), MAX_LOSS)


def _cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.logaddexp(0, logits) - target * logits


def _per_picture(values: jax.Array) -> jax.Array:
    return values.mean((1, 2, 3))


def _bounded(losses: jax.Array, most: float) -> jax.Array:
    """Return the mean, in which no picture pulls more than one whose loss is `most`."""
    excess = jnp.maximum(lax.stop_gradient(losses) / most, 1)
    return (losses / excess).mean()


def _computed(graph: FloatGraph, names: list[str]) -> Callable[[jax.Array], Arrays]:
    weights = _weights(graph)
    return jax.jit(lambda pictures: run(graph, weights, pictures, names))


def _weights(graph: FloatGraph) -> Arrays:
    return {
        name: jnp.asarray(graph.weights[name])
        for node in graph.convolutions
        for name in node.input[1:]
    }


def _sizes(graph: FloatGraph, weights: Arrays) -> Arrays:
    """Return what a step is relative to, for each tensor of weights and biases."""
    sizes: Arrays = {}
    for node in graph.convolutions:
        _, weight, bias = node.input
        squares = weights[weight] ** 2
        sizes[weight] = jnp.sqrt(squares.mean())
        sizes[bias] = BIAS_STEP * jnp.sqrt(squares.sum((1, 2, 3)).mean())
    return sizes


def _empty() -> State:
    return {part: {} for part in ("trained", "first", "second", "average")}


def _initial(weights: Arrays) -> State:
    zeros = {name: jnp.zeros_like(value) for name, value in weights.items()}
    return {"trained": weights, "first": zeros, "second": zeros, "average": weights}


def _stepped(state: State, gradient: Arrays, sizes: Arrays, step: jax.Array, steps: int) -> State:
    """Make one step of Adam (Kingma and Ba, 2015)."""
    norm = jnp.sqrt(sum((value**2).sum() for value in gradient.values()))
    scale = jnp.minimum(1, MAX_NORM / norm)
    number = step + 1
    falling = jnp.maximum(LEAST_RATE, 0.5 * (1 + jnp.cos(jnp.pi * step / steps)))
    rate = LEARNING_RATE * jnp.minimum(1, number / WARM_UP) * falling
    kept = jnp.minimum(AVERAGED, number / (number + 9))
    (one, two), stepped = MOMENTS, _empty()
    for name, value in gradient.items():
        first = one * state["first"][name] + (1 - one) * value * scale
        second = two * state["second"][name] + (1 - two) * (value * scale) ** 2
        direction = first / (1 - one**number) / (jnp.sqrt(second / (1 - two**number)) + TINY)
        weight = state["trained"][name] - rate * sizes[name] * direction
        stepped["first"][name], stepped["second"][name] = first, second
        stepped["trained"][name] = weight
        stepped["average"][name] = kept * state["average"][name] + (1 - kept) * weight
    return stepped


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training in a file."""

    path: Path
    digest: str
    """of the network and of how it is trained: the state of another training is not used"""

    def save(self, state: State, step: int) -> None:
        """Write the file. Raises PermanentError (`invalid_setting`) if it cannot be written."""
        partial = self.path.with_suffix(".partial")
        arrays: dict[str, Any] = {"digest": self.digest, "step": step}
        for part, weights in state.items():
            arrays |= {f"{part}/{name}": np.asarray(value) for name, value in weights.items()}
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)
            partial.replace(self.path)
        except OSError as error:
            raise PermanentError(
                ErrorCode.INVALID_SETTING,
                f"CUTOUT_MODEL_DIR: {partial} cannot be written ({error.strerror}).",
            ) from None

    def load(self) -> tuple[State, int] | None:
        """Return the state and the number of its steps; None if there is none to go on from."""
        state = _empty()
        try:
            with np.load(self.path) as stored:
                if str(stored["digest"]) != self.digest:
                    return None
                for key in stored:
                    part, _, name = key.partition("/")
                    if name:
                        state[part][name] = jnp.asarray(stored[key])
                return state, int(stored["step"])
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):  # none, or cut short
            return None
