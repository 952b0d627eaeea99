"""A model in memory: one network, kept for the lifetime of a child."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from contract.errors import ErrorCode, RetryableError
from contract.quality import Quality
from contract.settings import CPU, Provider
from worker.imaging.arrays import Float32Array
from worker.imaging.layout import Box
from worker.imaging.matting import Matte, matte_of
from worker.imaging.u2net import network_input
from worker.models.network import open_network
from worker.models.providers import provider_mark
from worker.models.registry import Model


class Session:
    """Computes mattes. Create it after the fork: its threads do not survive one."""

    def __init__(
        self,
        model: Model,
        weights: Path,
        sha256: str,
        threads: int,
        providers: tuple[Provider, ...] = (CPU,),
    ) -> None:
        """Load the network. Raises PermanentError (`provider_missing`)."""
        self.model = model
        self.sha256 = sha256
        self.provider = provider_mark(model, providers)
        """see `provider_mark`"""
        self.network = open_network(model, weights, providers, threads)

    def matte(self, rgb: Image.Image, quality: Quality) -> Matte:
        """Return the matte of a mode RGB image, of its size, and doubts about its subject."""
        return matte_of(rgb, partial(self._predict, rgb), quality)

    def _predict(self, rgb: Image.Image, box: Box, *, mirrored: bool = False) -> Float32Array:
        """Return the saliency of a box, as the network sees it: float32 [side, side], 0..1.

        Raises RetryableError (`provider_failed`) instead of returning NaN, which would pass for a
        photograph without a subject.
        """
        tensor = network_input(rgb, self.model.side, self.model.normalisation, box)
        if mirrored:
            tensor = np.ascontiguousarray(tensor[..., ::-1])
        saliency: Float32Array = self.network.run(tensor)[0, 0]
        if not np.isfinite(saliency).all():
            raise RetryableError(
                ErrorCode.PROVIDER_FAILED, "The network returned values that are not numbers."
            )
        return saliency[:, ::-1] if mirrored else saliency
