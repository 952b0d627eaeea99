"""One ONNX Runtime session: what a child keeps for its lifetime."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime as ort
from PIL import Image

from worker.cpu.features import int8_dot_product
from worker.imaging.arrays import Float32Array
from worker.imaging.u2net import matte, network_input
from worker.models.registry import Model

OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc")
"""As its arena and the C++ library word it."""


class Session:
    """Photograph in, matte out. Build it after the fork: its threads do not survive one."""

    def __init__(self, model: Model, weights: Path, sha256: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # a spinning thread takes its core from the neighbouring children
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # one planned block for a whole run takes 200 MB more than the arena alone, and no less time
        options.enable_mem_pattern = False
        if model.quantized and not int8_dot_product():
            # AVX2 alone would saturate pairs of 8-bit products; this way they are exact, and slower
            options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 4  # what it would log, it also raises
        self.model = model
        self.sha256 = sha256
        self._session: Any = ort.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )
        self._input: str = self._session.get_inputs()[0].name
        self._output: str = self._session.get_outputs()[0].name  # the fused map; six more go unused

    def matte(self, rgb: Image.Image) -> Image.Image:
        """Return the matte of a mode RGB image, as mode L of the same size."""
        tensor = network_input(rgb, self.model.side, self.model.normalisation)
        with memory_errors():
            output: Float32Array = self._session.run([self._output], {self._input: tensor})[0]
        return matte(output, rgb.size)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn ONNX Runtime's failures to allocate, which are of several types, into MemoryError."""
    try:
        yield
    except Exception as error:
        if any(sign in str(error) for sign in OUT_OF_MEMORY):
            raise MemoryError from error
        raise
