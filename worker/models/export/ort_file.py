"""ORT format: what the mobile builds of ONNX Runtime load."""

import tempfile
from pathlib import Path

from worker.models.export.optional import silenced


def write(source: Path, target: Path) -> None:
    """Convert an ONNX file by ONNX Runtime's own tool, with optimisations that suit ARM."""
    with silenced(), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        from onnxruntime.tools import convert_onnx_models_to_ort as tool  # noqa: PLC0415 - it logs

        tool.convert_onnx_models_to_ort(
            source, Path(folder), [tool.OptimizationStyle.Fixed], target_platform="arm"
        )
        (converted,) = Path(folder).glob("*.ort")
        converted.replace(target)
