"""Measures cutout beside `rembg p` on this machine: `make bench`.

Rounds go through all sizes and sides in turn, so that whatever else slows the machine slows
both; figures are medians over the rounds. Starts and warm-up are left out on both sides, by the
same rule (outputs.py). Beside that, the work without queue and storage, and its three bare parts
(bare.py).
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bare
import load
import ours
import peer
import report
from bare import Timing
from meter import ELSEWHERE
from outputs import Pass

from worker.cpu.count import available_cpus, default_children

MODELS = ("u2net-int8", "u2net")
PHOTOGRAPHS = {1.0: 36, 4.0: 24, 10.0: 16}
"""By megapixels: enough that one side's run lasts longer than its start."""

REPEATS = 2  # times our side goes through them: once is over too soon to be timed
ROUNDS = 3
SKIP = 2  # photographs of each process that only warm it up: the last one starts a turn later
EACH = 2 * SKIP + 2  # photographs for each CPU, at least
BARE = (bare.whole, bare.pillow_load, bare.session_run, bare.our_encode)
ROOT = Path(".bench")


@dataclass
class Found:
    """All that was measured, by size in megapixels, by side or model, and by task."""

    passes: defaultdict[tuple[float, str], list[Pass]] = field(
        default_factory=lambda: defaultdict(list)
    )
    timings: defaultdict[tuple[float, str, str], list[Timing]] = field(
        default_factory=lambda: defaultdict(list)
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--photos", type=Path, default=Path("samples"), help="made into the load")
    parser.add_argument("--sizes", type=_sizes, default=tuple(PHOTOGRAPHS), help="megapixels: 1,4")
    parser.add_argument("--count", type=int, help="photographs of a size")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="through everything")
    parser.add_argument(
        "--models", type=lambda text: text.split(","), default=MODELS, help="of ours: a,b"
    )
    parser.add_argument(
        "--children", type=int, default=default_children(available_cpus()), help="of our worker"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench/results"), help="where tables and plot are saved"
    )
    parser.add_argument("--docs", action="store_true", help="renew docs/bench.png too")
    return parser.parse_args()


def _sizes(text: str) -> tuple[float, ...]:
    return tuple(float(size) for size in text.split(","))


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    given = arguments()
    if sys.platform != "linux":
        raise SystemExit("bench: this reads /proc, so it needs Linux.")
    for model in {*given.models, "u2net"}:
        command = [str(ours.CUTOUT), "models", "pull", model]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(1)  # it has said why
    print(report.machine())
    photographs = {
        size: load.photographs(
            given.photos,
            ROOT / "photographs" / str(given.photos.resolve()).strip("/").replace("/", "-"),
            size,
            given.count or max(PHOTOGRAPHS.get(size, 12), EACH * available_cpus()),
        )
        for size in given.sizes
    }
    found = Found()
    ROOT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        folder = Path(name).resolve()
        print("Warming up rembg: its first start compiles ...", flush=True)
        peer.warm_up(photographs[given.sizes[0]][0], folder / "warm-up")
        for number in range(given.rounds):
            for size, paths in photographs.items():
                print(f"Round {number + 1} of {given.rounds}, {size:g} MP:", flush=True)
                measure_sides(found, given, size, paths, folder, number)
    figures = report.figures(found.passes, found.timings, given)
    report.save(figures, given.out)
    if given.docs:
        shutil.copy(given.out / "bench.png", "docs/bench.png")


def measure_sides(
    found: Found,
    given: argparse.Namespace,
    size: float,
    paths: list[Path],
    folder: Path,
    number: int,
) -> None:
    """Run every side once; each round begins with another."""
    everywhere = available_cpus()
    sides: list[tuple[str, Callable[[], Pass]]] = [
        (report.REMBG, lambda: peer.run(paths, folder / "rembg", 1, SKIP)),
        (report.REMBG_EACH, lambda: peer.run(paths, folder / "rembg", everywhere, SKIP)),
    ]
    for model in given.models:

        def side(model: str = model) -> Pass:
            return ours.run(paths * REPEATS, model, folder / "cutout", given.children, SKIP)

        sides.append((model, side))
    turn = number % len(sides)
    for name, run in sides[turn:] + sides[:turn]:
        result = run()
        found.passes[size, name].append(result)
        seconds = report.worker_seconds(result.cpu)
        lost = result.cpu[ELSEWHERE] * result.rate / everywhere
        print(
            f"  {name:26} {result.rate:6.2f} images/s {seconds:6.2f} CPU s/image"
            f"   (other programs had {lost:.0%} of the machine)",
            flush=True,
        )
        if name in given.models:
            measure_bare(found, size, paths, name, beside_pillow=name == given.models[0])


def measure_bare(
    found: Found, size: float, paths: list[Path], model: str, *, beside_pillow: bool
) -> None:
    """Time the work without queue and storage, and its bare parts, on every CPU at once."""
    tasks = (*BARE, bare.pillow_encode) if beside_pillow else BARE
    timings = bare.timed(tasks, paths, model, available_cpus())
    for task, timing in zip(tasks, timings, strict=True):
        found.timings[size, model, task.__name__].append(timing)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
