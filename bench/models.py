"""Measures every model of the registry whose weights are downloaded: `bench/models.py EVAL`.

EVAL holds NAME.jpg and NAME.alpha.png. Prints the table of docs/models.md, one row per model:

G MAC    multiplications of the convolutions that the matte depends on, in 10^9
file     megabytes
memory   peak of a process that cuts out one photograph of 4 megapixels, in MB
time     CPU time of one matte on one thread, relative to that of u2net (which must be downloaded);
         models take turns, and the median of the rounds counts
IoU, edge   as in bench/quality.py, without refinement and second pass
"""

import itertools
import math
import multiprocessing
import statistics
import time
from pathlib import Path

import numpy as np
import quality
from bare_pipeline import QUALITY, load_session
from PIL import Image

from contract.rendition import PLAIN
from contract.settings import settings
from worker.cpu.features import int8_dot_product
from worker.imaging.cutout import compose
from worker.imaging.decode import Limits, decode
from worker.imaging.encode import encode
from worker.imaging.render import render
from worker.models import registry
from worker.runtime import keep_freed_memory, use_one_blas_thread

BASE = "u2net"
ROUNDS = 5
MEGAPIXELS = 4
CONVOLUTIONS = {"Conv", "QLinearConv"}


def main() -> None:
    pairs = quality.pairs_of_arguments(__doc__)
    folder = settings().model_dir.expanduser()
    present = [model for model in registry.MODELS.values() if (folder / model.file).exists()]
    times = relative_times([model.name for model in present])
    print(f"{len(pairs)} photographs; dot product of 8-bit integers: {int8_dot_product()}")
    print("| model | G MAC | file | memory | time | IoU | edge |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    large = quality.enlarged(pairs[0].path, MEGAPIXELS)
    for model in registry.MODELS.values():
        if model not in present:
            print(f"| `{model.name}` | | | | | | |")
            continue
        path = folder / model.file
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            memory = pool.apply(peak_memory, (model.name, large))
        iou, edge = scores(model.name, pairs)
        cells = [
            f"`{model.name}`", f"{multiplications(path) / 1e9:.1f}",
            f"{path.stat().st_size / 1e6:.1f} MB", f"{memory:.0f} MB", f"{times[model.name]:.2f}",
            f"{iou:.4f}", f"{edge:.4f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


def relative_times(names: list[str]) -> dict[str, float]:
    """Return each model's time divided by that of u2net in the same round."""
    sessions = {name: load_session(name) for name in names}
    picture = Image.effect_noise((320, 320), 64).convert("RGB")
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS + 1):
        row = {}
        for name, session in sessions.items():
            start = time.process_time()
            session.matte(picture, QUALITY)
            row[name] = time.process_time() - start
        rounds.append(row)
    measured = rounds[1:]  # the first run of each allocates its memory
    return {name: statistics.median(row[name] / row[BASE] for row in measured) for name in names}


def peak_memory(name: str, photograph_file: bytes) -> float:
    """Cut out a photograph as a worker's child does; return this process's peak in MB."""
    keep_freed_memory()
    use_one_blas_thread()
    session = load_session(name)
    photograph = decode(photograph_file, Limits())
    matte = session.matte(photograph.rgb, QUALITY).alpha
    encode(render(compose(photograph, matte), PLAIN), PLAIN)
    return quality.peak_memory()


def scores(name: str, pairs: list[quality.Pair]) -> tuple[float, float]:
    """Return the mean IoU and the mean error near the edge."""
    session, found = load_session(name), []
    for pair in pairs:
        photograph = decode(pair.path.read_bytes(), Limits())
        matte = session.matte(photograph.rgb, QUALITY).alpha
        found.append(quality.score(pair.alpha, np.asarray(matte, np.float32) / 255))
    iou, _, edge = np.mean(found, axis=0)
    return float(iou), float(edge)


def multiplications(path: Path) -> int:
    """Return the multiplications of all convolutions that the first output depends on."""
    import onnx  # noqa: PLC0415 - here, so that it does not count as memory of the pipeline

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), data_prop=True)
    graph = model.graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in itertools.chain(graph.value_info, graph.output)
    } | {tensor.name: [*tensor.dims] for tensor in graph.initializer}
    needed, total = {graph.output[0].name}, 0
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        needed.update(node.input)
        if node.op_type in CONVOLUTIONS:
            kernel = shapes[node.input[3 if node.op_type == "QLinearConv" else 1]]
            # each output sample takes one multiplication for each weight of its channel
            total += math.prod(shapes[node.output[0]]) * math.prod(kernel[1:])
    return total


if __name__ == "__main__":
    main()
