"""The pipeline without queue and storage, on every CPU at once: as a whole, and part by part.

Tasks that are compared take turns at each photograph, so a slow phase of the machine slows all.
"""

import io
import itertools
import multiprocessing
import queue
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contract.quality import Quality
from contract.settings import settings
from worker.imaging.cutout import compose
from worker.imaging.decode import Limits, decode
from worker.imaging.png.encoder import encode
from worker.imaging.u2net import network_input
from worker.models import registry, weights
from worker.models.session import Session
from worker.runtime import keep_freed_memory, use_one_blas_thread

WARM_UP = 2
QUALITY = Quality(refine="none", passes=1)
"""The mattes that `rembg p` makes; bench/quality.py measures the others."""


@dataclass(frozen=True)
class Timing:
    seconds: float
    """mean duration of a call on one CPU while the other CPUs are busy too"""
    size: float
    """mean size of the result, if it is bytes; else 0"""


Task = Callable[[list[Path], str], Callable[[int], object]]
"""Takes photographs and a model's name; returns a function of a photograph's number to time."""


def load_session(model: str) -> Session:
    """Load a model whose weights are pulled, with one thread as in a worker child."""
    row = registry.find(model)
    path = settings().model_dir.expanduser() / row.file
    return Session(row, path, weights.verify(path, row), 1)


def whole(photographs: list[Path], model: str) -> Callable[[int], object]:
    """Do what a worker child does between fetch and store, with the photographs in memory."""
    session = load_session(model)
    blobs = [path.read_bytes() for path in photographs]

    def work(number: int) -> bytes:
        photograph = decode(blobs[number], Limits())
        matte = session.matte(photograph.shown(), QUALITY)
        cutout = compose(photograph, matte.alpha, decontaminate=QUALITY.decontaminate)
        return encode(cutout.rows, cutout.size, photograph.icc_profile, photograph.dots_per_metre)

    return work


def pillow_load(photographs: list[Path], _model: str) -> Callable[[int], object]:
    blobs = [path.read_bytes() for path in photographs]
    return lambda number: Image.open(io.BytesIO(blobs[number])).load()


def session_run(photographs: list[Path], model: str) -> Callable[[int], object]:
    session = load_session(model)
    row = session.model
    with Image.open(photographs[0]) as image:
        tensor = network_input(image.convert("RGB"), row.side, row.normalisation)
    return lambda _: session.network.run(tensor)


def png_encode(photographs: list[Path], model: str) -> Callable[[int], object]:
    arrays = list(_cutouts(photographs, model))

    def work(number: int) -> bytes:
        pixels = arrays[number]
        height, width = pixels.shape[:2]
        return encode(lambda top, bottom: pixels[top:bottom], (width, height))

    return work


def pillow_encode(photographs: list[Path], model: str) -> Callable[[int], object]:
    images = [Image.fromarray(pixels) for pixels in _cutouts(photographs, model)]

    def work(number: int) -> bytes:
        buffer = io.BytesIO()
        images[number].save(buffer, "PNG")
        return buffer.getvalue()

    return work


def timed(
    tasks: Sequence[Task], photographs: list[Path], model: str, processes: int
) -> list[Timing]:
    """Run each task once on every photograph in each process; return the mean of the processes.

    Each process starts at a different photograph. Tasks load their input before the clock starts.
    """
    context = multiprocessing.get_context("spawn")  # ONNX Runtime's threads do not survive a fork
    barrier, results = context.Barrier(processes), context.Queue()
    working = context.Value("i", processes)
    children = [
        context.Process(
            target=_child,
            daemon=True,
            args=(tasks, photographs, model, number, barrier, working, results),
        )
        for number in range(processes)
    ]
    try:
        for child in children:
            child.start()
        rows = list(itertools.islice(_results(results, children), processes))
    finally:
        for child in children:
            child.terminate()
            child.join()
    return [Timing(*row) for row in np.mean(rows, axis=0).tolist()]


def _results(results: Any, children: list[Any]) -> Iterator[list[tuple[float, float]]]:
    while True:
        try:
            yield results.get(timeout=1)
        except queue.Empty:
            if any(child.exitcode for child in children):
                raise SystemExit(
                    "bench: a process of the bare pipeline ended early; see its error above."
                ) from None


def _child(
    tasks: Sequence[Task],
    photographs: list[Path],
    model: str,
    number: int,
    barrier: Barrier,
    working: Any,
    results: Any,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    keep_freed_memory()  # these two as worker children do
    use_one_blas_thread()
    works = [task(photographs, model) for task in tasks]
    count = len(photographs)
    first = number * count // working.value
    for n in range(WARM_UP):
        for work in works:
            work((first + n) % count)
    barrier.wait()
    seconds, sizes = [0.0] * len(works), [0] * len(works)
    for n in range(count):
        for index, work in enumerate(works):
            start = time.perf_counter()
            result = work((first + n) % count)
            seconds[index] += time.perf_counter() - start
            sizes[index] += len(result) if isinstance(result, bytes) else 0
    results.put([(total / count, size / count) for total, size in zip(seconds, sizes, strict=True)])
    with working.get_lock():
        working.value -= 1
    while working.value:  # keep this CPU busy while others still measure
        works[0](first)


def _cutouts(photographs: list[Path], model: str) -> Iterator[np.ndarray[Any, Any]]:
    session = load_session(model)
    for path in photographs:
        photograph = decode(path.read_bytes(), Limits())
        cutout = compose(photograph, session.matte(photograph.shown(), QUALITY).alpha)
        yield cutout.rows(0, cutout.size[1])
