"""Measures exported models: `bench/exports.py EVAL`, after `uv pip install 'cutout-queue[export]'`.

EVAL holds NAME.jpg and NAME.alpha.png. Each model is exported in each format that can be run here,
in the size of its own input, and compared with the original in ONNX Runtime:

file      megabytes
memory    peak of a process that loads and runs nothing else, in MB
ms        CPU time of the fastest of five runs on one thread
alpha IoU agreement of the masks, cut off at 0.5, with those of the original: mean and least
IoU, edge against the exact alpha, as in bench/quality.py
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

MODELS = ("u2netp", "u2netp-int8", "u2net", "u2net-int8")
RUNS = 5
MAX_MEGABYTES, MAX_MEMORY, MIN_IOU = 30, 300, 0.9
"""What a phone allows: megabytes of the file and of memory, alpha IoU with the original."""


class OrtFile:
    """An ONNX or ORT file, in ONNX Runtime."""

    def __init__(self, path: Path) -> None:
        import onnxruntime  # noqa: PLC0415 - one runtime in each process

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.x64quantprecision", "1")
        self.session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0]
        self.shape = self.input.shape
        self.output = self.session.get_outputs()[0].name

    def run(self, tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.session.run([self.output], {self.input.name: tensor})[0]


class TfliteFile:
    """A TensorFlow Lite file, in LiteRT."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

        self.interpreter = Interpreter(str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        (self.output,) = self.interpreter.get_output_details()
        side = int(self.input["shape"][1])
        self.shape = (1, 3, side, side)

    def run(self, tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        image = np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
        self.interpreter.set_tensor(self.input["index"], image)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output["index"]).transpose(0, 3, 1, 2)


RUNTIMES = {".onnx": OrtFile, ".ort": OrtFile, ".tflite": TfliteFile}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("eval", type=Path, help="folder with NAME.jpg and NAME.alpha.png")
    parser.add_argument("--limit", type=int, help="use only the first N photographs")
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    print("| model | file | MB | memory | ms | alpha IoU | least | IoU | edge | for phones |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            for line in rows(model, Path(folder), options.eval, options.limit):
                print(line, flush=True)


def rows(name: str, folder: Path, evaluation: Path, limit: int | None) -> list[str]:
    import quality  # noqa: PLC0415 - imports ONNX Runtime
    from bare_pipeline import QUALITY, load_session  # noqa: PLC0415

    from worker.imaging.decode import Limits, decode  # noqa: PLC0415

    pairs = quality.load(evaluation, limit)
    session = load_session(name)
    pictures = [decode(pair.path.read_bytes(), Limits()).rgb for pair in pairs]

    def mattes() -> list[np.ndarray[Any, Any]]:
        return [
            np.asarray(session.matte(picture, QUALITY).alpha, np.float32) / 255
            for picture in pictures
        ]

    original, lines = mattes(), []
    for path in exported(name, folder):
        session.network = RUNTIMES[path.suffix](path)
        found = mattes()
        pairs_of_masks = zip(original, found, strict=True)
        agreement = [overlap(before > 0.5, after > 0.5) for before, after in pairs_of_masks]
        scores = [
            quality.score(pair.alpha, matte) for pair, matte in zip(pairs, found, strict=True)
        ]
        iou, _, edge = np.mean(scores, axis=0)
        lines.append(line(name, path, agreement, iou, edge))
    return lines


def exported(name: str, folder: Path) -> list[Path]:
    """Export a model in each format that can be run here and that it has."""
    from contract.settings import settings  # noqa: PLC0415
    from worker.models import registry  # noqa: PLC0415
    from worker.models.export.writer import export  # noqa: PLC0415

    model = registry.find(name)
    weights = settings().model_dir.expanduser() / model.file
    formats = ("onnx", "ort") if model.base else ("onnx", "ort", "tflite")
    return [export(model, weights, fmt, model.side, folder) for fmt in formats]


def line(name: str, path: Path, agreement: list[float], iou: float, edge: float) -> str:
    alone = json.loads(subprocess.check_output([sys.executable, __file__, "--alone", path]))
    size, mean = path.stat().st_size / 1e6, float(np.mean(agreement))
    fits = size <= MAX_MEGABYTES and alone["memory"] < MAX_MEMORY and mean >= MIN_IOU
    cells = [
        name, path.suffix[1:], f"{size:.1f}", f"{alone['memory']:.0f}", f"{alone['ms']:.0f}",
        f"{mean:.4f}", f"{min(agreement):.3f}", f"{iou:.4f}", f"{edge:.4f}",
        "yes" if fits else "no",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def overlap(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def measure_alone(path: Path) -> None:
    """Print CPU time and peak memory of this process, which does nothing else."""
    network = RUNTIMES[path.suffix](path)
    tensor, times = np.zeros(network.shape, np.float32), []
    for _ in range(RUNS):
        start = time.process_time()
        network.run(tensor)
        times.append((time.process_time() - start) * 1000)
    with Path("/proc/self/status").open() as file:
        peak = next(int(text.split()[1]) for text in file if text.startswith("VmHWM")) / 1000
    print(json.dumps({"ms": min(times), "memory": peak}))


if __name__ == "__main__":
    if sys.argv[1] == "--alone":
        measure_alone(Path(sys.argv[2]))
    else:
        main()
