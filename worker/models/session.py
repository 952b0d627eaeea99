"""A model in memory: one ONNX Runtime session, kept for the lifetime of a child."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

from contract.quality import Quality
from worker.cpu.features import int8_dot_product
from worker.imaging.arrays import Float32Array
from worker.imaging.layout import Box
from worker.imaging.matting import Matte, matte_of
from worker.imaging.u2net import network_input
from worker.models.registry import Model

OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc")
"""Texts in the errors of ONNX Runtime's memory arena and of the C++ library if memory runs out."""


class Session:
    """Computes mattes. Create it after the fork: its threads do not survive one."""

    def __init__(self, model: Model, weights: Path, sha256: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # threads that wait would spin and take CPU time from the other children
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # planning one memory block for a whole run uses 200 MB more, and is no faster
        options.enable_mem_pattern = False
        if model.quantized and not int8_dot_product():
            # plain AVX2 saturates sums of 8-bit products; this option makes them exact, but slower
            options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 4  # fatal only: errors are raised as well
        self.model = model
        self.sha256 = sha256
        self._session: Any = ort.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name
        self._output: str = self._session.get_outputs()[0].name  # the fused map; six are unused

    def matte(self, rgb: Image.Image, quality: Quality) -> Matte:
        """Return the matte of a mode RGB image, of its size, and doubts about its subject."""
        return matte_of(rgb, partial(self._predict, rgb), quality)

    def _predict(self, rgb: Image.Image, box: Box, *, mirrored: bool = False) -> Float32Array:
        """Return the saliency of a box, as the network sees it: float32 [side, side], 0..1."""
        tensor = network_input(rgb, self.model.side, self.model.normalisation, box)
        if mirrored:
            tensor = np.ascontiguousarray(tensor[..., ::-1])
        with memory_errors():
            output: Float32Array = self._session.run([self._output], {self._input: tensor})[0]
        saliency: Float32Array = output[0, 0]
        return saliency[:, ::-1] if mirrored else saliency


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for ONNX Runtime's errors of several types that mean just that."""
    try:
        yield
    except Exception as error:
        if any(text in str(error) for text in OUT_OF_MEMORY):
            raise MemoryError from error
        raise
