"""Measures how large worker processes grow: peak RSS after a hundred images each, and at the end.

usage: memory.py [--model NAME] [--megapixels 4] [--count 1000]     (images of each process)

Runs `cutout run` with the default recipe from bucket to bucket; the peak is the kernel's (VmHWM).
Exit status 1 if the largest process grew by more than 5 %.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cutout_run
from compare import DEFAULT_MODEL, ROOT
from meter import Meter
from photographs import photographs

from worker.cpu.count import available_cpus, default_children

DIFFERENT_PHOTOGRAPHS = 20
"""Used again and again."""
EARLY_IMAGES = 100
MAX_GROWTH = 1.05
EMPTY_AFTER_SECONDS = 10
"""Outputs are not read after this, and are emptied to save disk space."""


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    parser = argparse.ArgumentParser(description="Measure how large worker processes grow.")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--megapixels", type=float, default=4)
    parser.add_argument("--count", type=int, default=1000, help="images of each process")
    options = parser.parse_args()
    children = default_children(available_cpus())
    paths = photographs(
        Path("samples"), ROOT / "photographs" / "samples", options.megapixels, DIFFERENT_PHOTOGRAPHS
    )
    many = paths * (children * options.count // DIFFERENT_PHOTOGRAPHS + 1)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        samples = list(watch(many[: children * options.count], options.model, Path(name).resolve()))
    if not samples or not samples[-1][0]:
        raise SystemExit("bench: cutout wrote no outputs; try `cutout run` by hand.")
    first, early = next(
        (sample for sample in samples if sample[0] >= children * EARLY_IMAGES), samples[-1]
    )
    done, late = samples[-1]
    print(
        f"{options.model} at {options.megapixels:g} MP: the largest of {children} worker processes "
        f"peaked at {early / 1e6:.0f} MB after {first // children} images each and at "
        f"{late / 1e6:.0f} MB after {done // children}."
    )
    return 0 if late <= early * MAX_GROWTH else 1


def watch(paths: list[Path], model: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Yield every few seconds the number of finished images and the largest child's peak RSS."""
    with (
        cutout_run.started(paths, model, folder, default_children(available_cpus()), ()) as (
            s3,
            process,
        ),
        Meter(process.pid) as meter,
    ):
        while process.poll() is None:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                done = s3.outputs()
                if peaks := meter.children():
                    yield len(done), max(peaks.values())
                for path in done:
                    if path.stat().st_mtime < time.time() - EMPTY_AFTER_SECONDS:
                        os.truncate(path, 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
