"""Compares the mattes of other providers with those of `cpu`, on this machine."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from contract.settings import CPU, Provider
from worker.imaging.arrays import Float32Array, Uint8Array
from worker.imaging.u2net import network_input, stretched
from worker.models.network import Network, open_network
from worker.models.registry import Model

PICTURES = 4
"""Drawn pictures that are compared."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model with some providers beside `cpu` alone, each on one thread."""

    levels: float
    """largest difference of two mattes' samples, in levels of 255 before rounding"""
    milliseconds: float
    """CPU time of the fastest run"""
    cpu_milliseconds: float
    """the same of `cpu`"""


def compare(model: Model, weights: Path, providers: tuple[Provider, ...]) -> Comparison:
    """Run a model both ways on drawn pictures. Raises PermanentError (`provider_missing`)."""
    networks = [open_network(model, weights, names, 1) for names in (providers, (CPU,))]
    levels, times = 0.0, ([], [])  # type: tuple[float, tuple[list[float], list[float]]]
    for picture in pictures():
        tensor = network_input(picture, model.side, model.normalisation)
        mattes = [_timed(network, tensor, t) for network, t in zip(networks, times, strict=True)]
        levels = max(levels, float(np.abs(mattes[0] - mattes[1]).max()))
    return Comparison(levels, min(times[0]), min(times[1]))


def _timed(network: Network, tensor: Float32Array, times: list[float]) -> Float32Array:
    start = time.process_time()
    saliency = network.run(tensor)
    times.append((time.process_time() - start) * 1000)
    return stretched(saliency[0, 0])


def pictures() -> Iterator[Image.Image]:
    """Yield pictures of a bright, grained ellipse before a dark gradient. Always the same."""
    rows, columns = np.mgrid[-1:1:480j, -1:1:640j]
    for seed in range(PICTURES):
        random = np.random.default_rng(seed)
        x, y = random.uniform(-0.3, 0.3, 2)
        width, height = random.uniform(0.3, 0.6, 2)
        inside = ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 < 1
        grain = random.normal(0, 12, (480, 640, 3))
        subject, behind = random.uniform(120, 240, 3), random.uniform(20, 100, 3)
        shade = behind * (1 + 0.3 * columns[..., np.newaxis])
        pixels: Uint8Array = (
            (np.where(inside[..., np.newaxis], subject, shade) + grain).clip(0, 255).astype("uint8")
        )
        yield Image.fromarray(pixels)
