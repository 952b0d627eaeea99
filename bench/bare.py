"""The work itself on every CPU at once, without queue and storage: whole, and stage by stage.

What is to be compared takes turns at each photograph: whatever slows the machine for a while slows
all of it.
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

from contract.settings import settings
from worker.imaging.cutout import compose
from worker.imaging.decode import Limits, decode
from worker.imaging.png.encoder import encode
from worker.imaging.u2net import network_input
from worker.models import registry, weights
from worker.models.session import Session
from worker.runtime import keep_freed_memory, use_one_blas_thread

WARM_UP = 2


@dataclass(frozen=True)
class Timing:
    seconds: float
    """of one call on one CPU while the others work as well, in the mean"""
    size: float
    """bytes of what it returned, in the mean, where it returned bytes"""


Task = Callable[[list[Path], str], Callable[[int], object]]
"""Takes photographs and the name of a model; returns what is timed, by a photograph's number."""


def whole(photographs: list[Path], model: str) -> Callable[[int], object]:
    """Do what a child does between fetch and store; the photographs are in memory already."""
    session = _session(model)
    blobs = [path.read_bytes() for path in photographs]

    def work(number: int) -> bytes:
        photograph = decode(blobs[number], Limits())
        matte = session.matte(photograph.rgb)
        cutout = compose(photograph, matte)
        return encode(cutout.rows, cutout.size, photograph.icc_profile, photograph.dots_per_metre)

    return work


def pillow_load(photographs: list[Path], _model: str) -> Callable[[int], object]:
    blobs = [path.read_bytes() for path in photographs]
    return lambda number: Image.open(io.BytesIO(blobs[number])).load()


def session_run(photographs: list[Path], model: str) -> Callable[[int], object]:
    session = _session(model)
    row = session.model
    with Image.open(photographs[0]) as image:
        tensor = network_input(image.convert("RGB"), row.side, row.normalisation)
    bare: Any = session._session  # noqa: SLF001 - the network alone, with the very options of ours
    name, output = bare.get_inputs()[0].name, bare.get_outputs()[0].name
    return lambda _: bare.run([output], {name: tensor})


def our_encode(photographs: list[Path], model: str) -> Callable[[int], object]:
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
    """Have each process go once through all photographs, from a place of its own.

    What a task keeps of the photographs, it prepares before the clock starts.
    """
    context = multiprocessing.get_context("spawn")  # ONNX Runtime's threads survive no fork
    barrier, answers = context.Barrier(processes), context.Queue()
    working = context.Value("i", processes)
    children = [
        context.Process(
            target=_child,
            daemon=True,
            args=(tasks, photographs, model, number, barrier, working, answers),
        )
        for number in range(processes)
    ]
    try:
        for child in children:
            child.start()
        found = list(itertools.islice(_answers(answers, children), processes))
    finally:
        for child in children:
            child.terminate()
            child.join()
    return [Timing(*row) for row in np.mean(found, axis=0).tolist()]


def _answers(answers: Any, children: list[Any]) -> Iterator[list[tuple[float, float]]]:
    while True:
        try:
            yield answers.get(timeout=1)
        except queue.Empty:
            if any(child.exitcode for child in children):
                raise SystemExit("bench: a process of the bare pipeline ended early.") from None


def _child(
    tasks: Sequence[Task],
    photographs: list[Path],
    model: str,
    number: int,
    barrier: Barrier,
    working: Any,
    answers: Any,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is our parent's to answer
    keep_freed_memory()  # both as children do
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
        for place, work in enumerate(works):
            start = time.perf_counter()
            result = work((first + n) % count)
            seconds[place] += time.perf_counter() - start
            sizes[place] += len(result) if isinstance(result, bytes) else 0
    answers.put([(took / count, size / count) for took, size in zip(seconds, sizes, strict=True)])
    with working.get_lock():
        working.value -= 1
    while working.value:  # the others are still measuring, and must not have it easier
        works[0](first)


def _session(model: str) -> Session:
    row = registry.find(model)
    path = settings().model_dir.expanduser() / row.file
    return Session(row, path, weights.verify(path, row), 1)


def _cutouts(photographs: list[Path], model: str) -> Iterator[np.ndarray[Any, Any]]:
    session = _session(model)
    for path in photographs:
        photograph = decode(path.read_bytes(), Limits())
        cutout = compose(photograph, session.matte(photograph.rgb))
        yield cutout.rows(0, cutout.size[1])
