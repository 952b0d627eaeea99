"""The formats that a model can be exported in."""

from typing import Literal

Format = Literal["onnx", "ort", "tflite", "coreml"]
SUFFIXES: dict[Format, str] = {
    "onnx": "onnx", "ort": "ort", "tflite": "tflite", "coreml": "mlpackage",
}  # fmt: skip
