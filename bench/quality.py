"""Measures mattes against exact alpha: `make quality EVAL=DIR`.

DIR holds NAME.jpg and NAME.alpha.png, an 8-bit grey image of the same size; other photographs in it
are for `doubts.py` alone. Prints one row per
recipe, and beside them `rembg p` with the same weights if `make bench` has installed it.

IoU       intersection over union of the masks, cut off at 0.5
MAE       mean absolute difference of the mattes, 0..1
edge      the same, within 12 pixels of the true edge: the mean, and the median of the photographs
colour    mean error of soft pixels' colours against the true foreground, in levels of 255, on
          composites of these photographs: foreground, alpha and background are known exactly
ms        of CPU time per stage, at 1.2, 4 and 12 megapixels: decode, matte, encode
peak      the process's largest memory at 4 megapixels
"""

import argparse
import io
import multiprocessing
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rembg_run
from bare_pipeline import load_session
from numpy.typing import NDArray
from PIL import Image

from contract.quality import Quality
from contract.rendition import PLAIN
from contract.settings import settings
from worker.imaging.cutout import Cutout, compose
from worker.imaging.decode import Limits, Photograph, decode
from worker.imaging.encode import encode
from worker.imaging.refine import refine
from worker.imaging.render import render
from worker.models.session import Session
from worker.runtime import keep_freed_memory, use_one_blas_thread

RECIPES = (
    ("u2net-int8", Quality(refine="none", passes=1)),
    ("u2net-int8", Quality(refine="edges", passes=1)),
    ("u2net-int8", Quality(refine="edges", passes=2)),
    ("u2netp-int8", Quality(refine="none", passes=1)),
    ("u2netp-int8", Quality(refine="edges", passes=1)),
    ("u2netp-int8", Quality(refine="edges", passes=2)),
    ("u2netp", Quality(refine="edges", passes=2)),
)
REMBG = (("u2net",), ("u2net", "-a"), ("u2net", "-dc"))
"""Options of `rembg p -m`."""
BAND = 25
"""Side of the window that finds pixels within 12 of the true edge."""
SIZES = (1.2, 4, 12)
"""Megapixels at which stages are timed."""
REPEATS = 3
MIN_PAIRS = 3
"""A composite is made of three photographs."""
Alpha = NDArray[np.float32]
"""[height, width], 0..1"""


@dataclass(frozen=True)
class Pair:
    """A photograph and the exact alpha of its subject."""

    path: Path
    alpha: Alpha


@dataclass(frozen=True)
class Row:
    """What was measured of one recipe. A missing figure is None."""

    name: str
    iou: float
    mae: float
    edge: float
    edge_median: float
    colour: float | None = None
    stages: dict[float, dict[str, float]] | None = None
    """milliseconds by megapixels and stage"""
    peak: float | None = None
    """MB"""


def main() -> None:
    pairs = pairs_of_arguments(__doc__)
    context = multiprocessing.get_context("spawn")
    print(f"{len(pairs)} photographs; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(heading(), flush=True)
    files = {
        size: [enlarged(pair.path, size) for pair in pairs[:REPEATS]] for size in SIZES
    }  # here, so that making them does not count as memory of the pipeline
    for model, quality in RECIPES:
        with context.Pool(1) as pool:  # one process per recipe, for its peak memory
            print(line(pool.apply(measure, (pairs, files, model, quality))), flush=True)
    for words in REMBG if rembg_run.ENVIRONMENT.exists() else ():
        print(line(measure_rembg(pairs, words)), flush=True)


def pairs_of_arguments(description: str | None) -> list[Pair]:
    """Return the photographs that the command line names."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("eval", type=Path, help="folder with NAME.jpg and NAME.alpha.png")
    parser.add_argument("--limit", type=int, help="use only the first N photographs")
    options = parser.parse_args()
    return load(options.eval, options.limit)


def load(folder: Path, limit: int | None) -> list[Pair]:
    pairs = []
    for path in sorted(folder.glob("*.alpha.png"))[:limit]:
        photograph = path.with_name(path.name.replace(".alpha.png", ".jpg"))
        with Image.open(path) as image:
            pairs.append(Pair(photograph, np.asarray(image.convert("L"), np.float32) / 255))
    if len(pairs) < MIN_PAIRS:
        raise SystemExit(
            f"quality: {folder} holds fewer than {MIN_PAIRS} NAME.jpg with NAME.alpha.png."
        )
    return pairs


def measure(
    pairs: list[Pair], files: dict[float, list[bytes]], model: str, quality: Quality
) -> Row:
    keep_freed_memory()
    use_one_blas_thread()
    session = load_session(model)
    name = f"{model}, {quality.refine}, {quality.passes}"
    stages, peak = {}, None
    for megapixels in SIZES:
        stages[megapixels] = timed(session, quality, files[megapixels])
        if megapixels == 4:
            peak = peak_memory()
    scores = []
    for pair in pairs:
        photograph = decode(pair.path.read_bytes(), Limits())
        matte = session.matte(photograph.rgb, quality).alpha
        scores.append(score(pair.alpha, np.asarray(matte, np.float32) / 255))
    return Row(name, *summary(scores), colour_error(pairs, quality), stages, peak)


def summary(scores: list[tuple[float, float, float]]) -> list[float]:
    """Return the means of IoU, MAE and edge error, and the median of the latter."""
    return [*np.mean(scores, axis=0), float(np.median([edge for _, _, edge in scores]))]


def score(truth: Alpha, matte: Alpha) -> tuple[float, float, float]:
    """Return IoU, MAE, and the MAE near the true edge."""
    true, found = truth > 0.5, matte > 0.5
    iou = (true & found).sum() / max((true | found).sum(), 1)
    near = dilated(true) != ~dilated(~true)
    difference = np.abs(truth - matte)
    return float(iou), float(difference.mean()), float(difference[near].mean())


def dilated(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a mask is within 12 pixels, across and down."""
    for axis in (0, 1):
        margins = [(BAND // 2 + 1, BAND // 2) if axis == number else (0, 0) for number in (0, 1)]
        sums = np.pad(mask.astype(np.int32), margins).cumsum(axis)
        ends = np.arange(BAND, sums.shape[axis])
        mask = sums.take(ends, axis) > sums.take(ends - BAND, axis)
    return mask


def timed(session: Session, quality: Quality, files: list[bytes]) -> dict[str, float]:
    """Return the median milliseconds of each stage."""
    times: dict[str, list[float]] = {"decode": [], "matte": [], "encode": []}
    for data in files:
        start = time.process_time()
        photograph = decode(data, Limits())
        decoded = time.process_time()
        matte = session.matte(photograph.rgb, quality).alpha
        matted = time.process_time()
        cutout = compose(photograph, matte, decontaminate=quality.decontaminate)
        encode(render(cutout, PLAIN), PLAIN)
        ends = (decoded, matted, time.process_time())
        for stage, began, ended in zip(times, (start, decoded, matted), ends, strict=True):
            times[stage].append((ended - began) * 1000)
    return {stage: statistics.median(values) for stage, values in times.items()}


def enlarged(path: Path, megapixels: float) -> bytes:
    """Return a photograph as a JPEG of another size."""
    with Image.open(path) as image:
        factor = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
        size = round(image.width * factor), round(image.height * factor)
        buffer = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def peak_memory() -> float:
    """Return this process's largest resident set so far, in MB."""
    with Path("/proc/self/status").open() as file:
        return next(int(text.split()[1]) for text in file if text.startswith("VmHWM")) * 1024 / 1e6


def colour_error(pairs: list[Pair], quality: Quality) -> float:
    """Return the mean error of soft pixels' colours, 0..255, given a refined matte."""
    errors = []
    for photograph, foreground, alpha in composites(pairs):
        view = Image.fromarray(alpha * 255).resize((160, 160), Image.Resampling.BOX)
        coarse = np.asarray(view.resize((320, 320), Image.Resampling.BICUBIC)).clip(0, 255)
        matte = refine(photograph, coarse, (0, 0, *photograph.size))
        cutout = compose(Photograph(photograph, None), matte, decontaminate=quality.decontaminate)
        errors.append(soft_error(cutout, foreground, alpha))
    return float(np.mean(errors))


def soft_error(cutout: Cutout, foreground: NDArray[np.float32], alpha: Alpha) -> float:
    """Return the mean error of the colours of pixels that are soft in truth and in the cut-out."""
    pixels = cutout.rows(0, cutout.size[1])
    soft = (alpha > 0.05) & (alpha < 0.95) & (pixels[..., 3] > 0) & (pixels[..., 3] < 255)
    return float(np.abs(pixels[soft][:, :3] - foreground[soft]).mean())


def composites(
    pairs: list[Pair],
) -> Iterator[tuple[Image.Image, NDArray[np.float32], Alpha]]:
    """Yield composites of photographs, with foreground (0..255) and alpha.

    Each pair's alpha joins two other photographs, so the foreground is known in every pixel.
    """
    for number, pair in enumerate(pairs):
        height, width = pair.alpha.shape
        over, under = (
            np.asarray(Image.open(other.path).convert("RGB").resize((width, height)), np.float32)
            for other in (pairs[number - 1], pairs[number - 2])
        )
        alpha = pair.alpha[..., np.newaxis]
        mixed = np.rint(over * alpha + under * (1 - alpha)).astype(np.uint8)
        yield Image.fromarray(mixed), over, pair.alpha


def measure_rembg(pairs: list[Pair], words: tuple[str, ...]) -> Row:
    """Measure `rembg p` on all photographs, with the given options."""
    scores = []
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "in"), Path(name, "out")
        source.mkdir()
        for pair in pairs:
            (source / pair.path.name).symlink_to(pair.path.resolve())
        command: list[Any] = [rembg_run.ENVIRONMENT / "rembg", "p", "-m", *words, source, target]
        weights = settings().model_dir.expanduser()
        environment = os.environ | {"U2NET_HOME": str(weights), "MODEL_CHECKSUM_DISABLED": "1"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        for pair in pairs:
            with Image.open((target / pair.path.name).with_suffix(".png")) as image:
                matte = np.asarray(image.getchannel("A"), np.float32) / 255
            scores.append(score(pair.alpha, matte))
    return Row(f"rembg p -m {' '.join(words)}", *summary(scores))


def heading() -> str:
    stages = " | ".join(f"ms at {size:g} MP" for size in SIZES)
    titles = f"| recipe | IoU | MAE | edge | median | colour | {stages} | peak |"
    return f"{titles}\n|---|{'---:|' * (titles.count('|') - 2)}"


def line(row: Row) -> str:
    scores = (row.iou, row.mae, row.edge, row.edge_median)
    cells = [row.name, *(f"{value:.4f}" for value in scores)]
    cells.append("" if row.colour is None else f"{row.colour:.1f}")
    for size in SIZES:
        times = row.stages[size] if row.stages else {}
        cells.append(" + ".join(f"{value:.0f}" for value in times.values()))
    cells.append("" if row.peak is None else f"{row.peak:.0f} MB")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
