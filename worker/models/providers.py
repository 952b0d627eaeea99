"""Execution providers: whether they are installed, and whether their pixels are those of `cpu`."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec

import onnxruntime as ort

from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.settings import CPU, Provider
from worker.models.registry import Model

ONNX_RUNTIME_NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
"""The names that ONNX Runtime has for its providers. OpenVINO is a runtime of its own."""
OPENVINO: Provider = "openvino"

MAX_LEVELS = 0.5
"""Outputs of a provider count as those of `cpu` if no sample of the network's matte differs by more
than this, in levels of 255 before rounding: no opacity then differs by more than one level."""
SAME_PIXELS = frozenset({OPENVINO})
"""Providers for which that holds with every float model: `cutout models check` measured at most
0.01 levels. INT8 models are rounded differently by each provider. Others are not measured."""

OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "out of memory")
"""Texts in the errors of ONNX Runtime's arena, of the C++ library and of CUDA if memory is full."""


def require_installed(providers: tuple[Provider, ...]) -> None:
    """Raise PermanentError (`provider_missing`) unless all are installed. Loads none of them."""
    available = ort.get_available_providers()
    for provider in providers:
        if provider == OPENVINO:
            installed = find_spec("openvino") is not None
        else:
            installed = ONNX_RUNTIME_NAMES[provider] in available
        if not installed:
            raise PermanentError(
                ErrorCode.PROVIDER_MISSING, f"The provider {provider!r} is not installed."
            )


def provider_mark(model: Model, providers: tuple[Provider, ...]) -> str:
    """Return the names and version that outputs carry, such as `openvino 2026.4.1`.

    Empty if outputs count as those of `cpu`, see `MAX_LEVELS`.
    """
    others = [provider for provider in providers if provider != CPU]
    if SAME_PIXELS.issuperset(others) and (model.base is None or not others):
        return ""
    return f"{' '.join(others)} {_version(others)}"


def _version(providers: list[Provider]) -> str:
    if OPENVINO in providers:
        return metadata.version("openvino")
    return str(ort.__version__)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for the runtimes' errors of several types that mean just that."""
    try:
        yield
    except Exception as error:
        if any(text in str(error) for text in OUT_OF_MEMORY):
            raise MemoryError from error
        raise


@contextmanager
def provider_errors(providers: tuple[Provider, ...]) -> Iterator[None]:
    """Raise RetryableError (`provider_failed`) for a runtime's error, unless `cpu` is alone.

    `cpu` computes the same everywhere, so its errors are faults of this program.
    """
    try:
        with memory_errors():
            yield
    except Exception as error:
        if providers == (CPU,) or not is_runtime_error(error):
            raise
        raise RetryableError(
            ErrorCode.PROVIDER_FAILED, f"{','.join(providers)} failed: {first_line(error)}"
        ) from error


def is_runtime_error(error: Exception) -> bool:
    """Return whether ONNX Runtime or OpenVINO raised it: Celery's time limit is no such error."""
    own_module = type(error).__module__.startswith("onnxruntime.")
    return own_module or isinstance(error, RuntimeError | ValueError | ImportError)


def first_line(error: Exception) -> str:
    """Return how an error's text begins, as a sentence of at most 200 characters."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{line[:200].rstrip('. ')}."
