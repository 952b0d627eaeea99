"""How large a Celery child grows: its peak RSS after a hundred images, and at the end.

usage: memory.py [--model NAME] [--megapixels 4] [--count 1000]     (images of each child)

The real thing, `cutout run` from bucket to bucket. The peak is the kernel's own (VmHWM). Exit
status 1 where a child grew by more than a twentieth.
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

import load
import ours
from compare import MODELS, ROOT
from meter import Meter

from worker.cpu.count import available_cpus, default_children

DIFFERENT = 20  # photographs, over and over
EARLY = 100
GROWN = 1.05
SETTLED = 10  # seconds after which nobody reads a cut-out again


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    parser = argparse.ArgumentParser(description="How large a Celery child grows.")
    parser.add_argument("--model", default=MODELS[0])
    parser.add_argument("--megapixels", type=float, default=4)
    parser.add_argument("--count", type=int, default=1000, help="images of each child")
    given = parser.parse_args()
    children = default_children(available_cpus())
    photographs = load.photographs(
        Path("samples"), ROOT / "photographs" / "samples", given.megapixels, DIFFERENT
    )
    many = photographs * (children * given.count // DIFFERENT + 1)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        looks = list(watch(many[: children * given.count], given.model, Path(name).resolve()))
    if not looks or not looks[-1][0]:
        raise SystemExit("bench: cutout wrote nothing.")
    first, early = next((look for look in looks if look[0] >= children * EARLY), looks[-1])
    done, late = looks[-1]
    print(
        f"{given.model} at {given.megapixels:g} MP: the largest of {children} children peaked at "
        f"{early / 1e6:.0f} MB after {first // children} images each and at {late / 1e6:.0f} MB "
        f"after {done // children}."
    )
    return 0 if late <= early * GROWN else 1


def watch(photographs: list[Path], model: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Yield, now and then, how many images are done and the largest child's peak RSS."""
    with (
        ours.started(photographs, model, folder, default_children(available_cpus())) as (
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
                    if path.stat().st_mtime < time.time() - SETTLED:
                        os.truncate(path, 0)  # thousands of cut-outs would fill a small disk


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
