"""Writes a model as a file for another runtime, such as that of a phone."""

import shutil
from collections.abc import Callable
from pathlib import Path

from contract.errors import ErrorCode, PermanentError
from worker.models.export import coreml_package, ort_file, tflite_file
from worker.models.export.formats import SUFFIXES, Format
from worker.models.graph import onnx_file
from worker.models.graph.float_graph import FloatGraph
from worker.models.registry import Model

SIDE_STEP = 32
"""An input's side is a multiple of this: the network halves it five times."""


def export(model: Model, weights: Path, fmt: Format, side: int, folder: Path) -> Path:
    """Write the model for an input of side x side pixels into `folder`; return the path.

    Replaces an earlier export. Raises PermanentError: `export_unsupported` or `extra_missing`.
    """
    if side % SIDE_STEP or side <= 0:
        raise _unsupported(f"The size {side} is no multiple of {SIDE_STEP}.")
    as_is = side == model.side and fmt in {"onnx", "ort"}
    if model.base and not as_is:
        raise _unsupported(f"{model.name} can be exported as ONNX or ORT at {model.side} px only.")
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{model.name}-{side}.partial.{SUFFIXES[fmt]}"
    _remove(partial)
    try:
        if as_is:
            _write_as_is(weights, partial)
        else:
            _write_graph(FloatGraph.read(weights), fmt, side, partial)
        target = folder / f"{model.name}-{side}.{SUFFIXES[fmt]}"
        _remove(target)
        return partial.replace(target)
    finally:
        _remove(partial)


def _write_as_is(weights: Path, target: Path) -> None:
    if target.suffix == ".ort":
        ort_file.write(weights, target)
    else:
        shutil.copyfile(weights, target)


def _write_graph(graph: FloatGraph, fmt: Format, side: int, target: Path) -> None:
    writers: dict[Format, Callable[[FloatGraph, int, Path], None]] = {
        "onnx": onnx_file.write, "ort": _write_ort,
        "tflite": tflite_file.write, "coreml": coreml_package.write,
    }  # fmt: skip
    writers[fmt](graph, side, target)


def _write_ort(graph: FloatGraph, side: int, target: Path) -> None:
    source = target.with_suffix(".onnx")
    try:
        onnx_file.write(graph, side, source)
        ort_file.write(source, target)
    finally:
        source.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unsupported(message: str) -> PermanentError:
    return PermanentError(ErrorCode.EXPORT_UNSUPPORTED, message)
