"""A network in memory. Computed by the providers that are set, or not at all."""

from functools import cache
from pathlib import Path
from typing import Any, Protocol

import onnxruntime as ort

from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.settings import CPU, Provider
from worker.cpu.features import int8_dot_product
from worker.imaging.arrays import Float32Array
from worker.models.providers import (
    ONNX_RUNTIME_NAMES,
    OPENVINO,
    first_line,
    is_runtime_error,
    provider_errors,
    require_installed,
)
from worker.models.registry import Model

ARENA_BYTES = 256 * 1024**2
"""First region of ONNX Runtime's memory; only what a run touches becomes resident. Tensors of all
INT8 models and of u2netp fit into it. In several smaller regions, what one tensor leaves free is
often too small for the next: 60 MB more for INT8 models."""
MAX_UNUSED_BYTES = 64 * 1024
"""Of a part of the memory that is given to a smaller tensor; what is more is kept for others."""
NEXT_POWER_OF_TWO = 0
"""Size of a further region, in ONNX Runtime's numbering of strategies."""


class Network(Protocol):
    def run(self, tensor: Float32Array) -> Float32Array:
        """Return the saliency, float32 [1, 1, side, side], of float32 [1, 3, side, side].

        Raises MemoryError, or RetryableError (`provider_failed`).
        """
        ...


def open_network(
    model: Model, weights: Path, providers: tuple[Provider, ...], threads: int
) -> Network:
    """Load a network. Raises PermanentError (`provider_missing`): no other provider steps in."""
    require_installed(providers)
    kind = OpenVinoNetwork if OPENVINO in providers else OnnxNetwork
    try:
        return kind(model, weights, providers, threads)
    except Exception as error:
        if providers == (CPU,) or isinstance(error, CutoutError) or not is_runtime_error(error):
            raise
        raise PermanentError(
            ErrorCode.PROVIDER_MISSING,
            f"{','.join(providers)} did not load {model.name}: {first_line(error)}",
        ) from error


@cache
def _register_arena() -> None:
    """Set how ONNX Runtime allocates the tensors of all networks of this process, on the CPU."""
    ort.create_and_register_allocator(
        ort.OrtMemoryInfo(
            "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
        ),
        ort.OrtArenaCfg(
            {
                "arena_extend_strategy": NEXT_POWER_OF_TWO,
                "initial_chunk_size_bytes": ARENA_BYTES,
                "max_dead_bytes_per_chunk": MAX_UNUSED_BYTES,
            }
        ),
    )


class OnnxNetwork:
    """Computed by ONNX Runtime."""

    def __init__(
        self, model: Model, weights: Path, providers: tuple[Provider, ...], threads: int
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # threads that wait would spin and take CPU time from the other children
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # planning one memory block for a whole run uses 200 MB more, and is no faster; a plan of
        # which tensors share a buffer, 20 to 200 MB more
        options.enable_mem_pattern = False
        options.enable_mem_reuse = False
        _register_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        if model.base and not int8_dot_product():
            # plain AVX2 saturates sums of 8-bit products; this option makes them exact, but slower
            options.add_session_config_entry("session.x64quantprecision", "1")
        if CPU not in providers:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        options.log_severity_level = 4  # fatal only: errors are raised as well
        self._providers = providers
        # by default, a provider that does not start, or fails later, is replaced by another
        self._session: Any = ort.InferenceSession(
            str(weights), options, providers=[ONNX_RUNTIME_NAMES[name] for name in providers],
            enable_fallback=0,
        )  # fmt: skip
        self._require_started()
        self._input: str = self._session.get_inputs()[0].name
        self._output: str = self._session.get_outputs()[0].name  # the fused map; six are unused

    def run(self, tensor: Float32Array) -> Float32Array:
        with provider_errors(self._providers):
            output: Float32Array = self._session.run([self._output], {self._input: tensor})[0]
        return output

    def _require_started(self) -> None:
        started = self._session.get_providers()
        for provider in self._providers:
            if ONNX_RUNTIME_NAMES[provider] not in started:
                raise PermanentError(
                    ErrorCode.PROVIDER_MISSING,
                    f"The provider {provider!r} is installed, but did not start.",
                )


class OpenVinoNetwork:
    """Computed by OpenVINO: the whole network, on the CPU."""

    def __init__(
        self, _model: Model, weights: Path, providers: tuple[Provider, ...], threads: int
    ) -> None:
        import openvino  # noqa: PLC0415 - an optional package

        compiled = openvino.Core().compile_model(
            str(weights), "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                # each child would pin its threads to the same CPUs
                "ENABLE_CPU_PINNING": False,
                # some CPUs would use bfloat16, whose mattes differ
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )  # fmt: skip
        self._providers = providers
        self._request = compiled.create_infer_request()
        self._output = compiled.output(0)  # the fused map

    def run(self, tensor: Float32Array) -> Float32Array:
        with provider_errors(self._providers):
            output: Float32Array = self._request.infer({0: tensor})[self._output]
        return output.copy()  # the next run overwrites it
