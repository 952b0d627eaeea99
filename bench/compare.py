"""Measures cutout beside `rembg p` on this machine: `make bench`.

Each round goes through all photograph sets, sizes and programs in turn, so a slow phase of the
machine slows all of them; figures are medians over the rounds. Start and warm-up are left out for
all programs by the same rule (run_result.py). The first set is also measured without queue and
storage, and part by part (bare_pipeline.py); other sets only for the ratio to `rembg p`.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bare_pipeline
import cutout_run
import figures
import rembg_run
import report
from bare_pipeline import Timing
from chart import REMBG, REMBG_PER_CPU
from meter import OTHER_PROGRAMS
from photographs import PHOTO_SETS, PhotoSet, Workload, photographs
from run_result import RunResult

from contract.settings import Settings
from worker.cpu.count import available_cpus, default_children

MODELS = ("u2net-int8", "u2net")
"""Measured with the mattes that `rembg p` makes."""
DEFAULT_MODEL = Settings.model_fields["model"].default
DEFAULT_RECIPE = f"{DEFAULT_MODEL}, default recipe"
"""With refined edges and two passes, as users run it."""
PHOTOGRAPHS = {1.0: 36, 4.0: 24, 10.0: 16}
"""Photographs by megapixels: enough that a run lasts longer than its start."""
DEFAULT_PHOTOGRAPHS = 12

REPEATS = 2
"""cutout processes each photograph this often: once is too short to time."""
ROUNDS = 3
SKIP = 2
"""Outputs of each process that count as warm-up: processes do not all start at once."""
MIN_PER_CPU = 2 * SKIP + 2
BARE_TASKS = (
    bare_pipeline.whole,
    bare_pipeline.pillow_load,
    bare_pipeline.session_run,
    bare_pipeline.png_encode,
)
ROOT = Path(".bench")


@dataclass
class Measurements:
    """All results: one entry per round in each list."""

    runs: defaultdict[tuple[Workload, str], list[RunResult]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """by workload and program: `REMBG`, `REMBG_PER_CPU` or a model of cutout"""
    timings: defaultdict[tuple[Workload, str, str], list[Timing]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """by workload, model and task"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, default=Path("samples"),
        help="folder of photographs to make the test photographs from (default: samples)",
    )  # fmt: skip
    parser.add_argument(
        "--sets", type=_sets, default=PHOTO_SETS, help="photograph sets (default: noisy,smooth)"
    )
    parser.add_argument(
        "--sizes", type=_sizes, default=tuple(PHOTOGRAPHS), help="megapixels (default: 1,4,10)"
    )
    parser.add_argument("--count", type=int, help="photographs per size (default: by size)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"(default: {ROUNDS})")
    parser.add_argument(
        "--models", type=lambda text: text.split(","), default=MODELS,
        help=f"models of cutout (default: {','.join(MODELS)})",
    )  # fmt: skip
    parser.add_argument(
        "--children", type=int, default=default_children(available_cpus()),
        help="worker processes of cutout (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("bench/results"),
        help="folder for figures, tables and charts (default: bench/results)",
    )  # fmt: skip
    parser.add_argument(
        "--docs", action="store_true", help="also replace the figures and charts in docs/"
    )
    return parser.parse_args()


def _sizes(text: str) -> tuple[float, ...]:
    return tuple(float(size) for size in text.split(","))


def _sets(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(PHOTO_SETS):
        raise argparse.ArgumentTypeError(f"unknown sets: {', '.join(sorted(unknown))}")
    return names


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    options = arguments()
    if sys.platform != "linux":
        raise SystemExit("bench: this script reads /proc; run it on Linux.")
    for model in {*options.models, DEFAULT_MODEL, "u2net"}:
        command = [str(cutout_run.CUTOUT), "models", "pull", model]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(1)  # the command has printed the reason
    print(figures.machine())
    workloads = {
        Workload(photo_set, size): _photographs(options, photo_set, size)
        for size in options.sizes
        for photo_set in options.sets
    }
    measurements = Measurements()
    ROOT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        folder = Path(name).resolve()
        print("Warming up rembg: its first start compiles ...", flush=True)
        rembg_run.warm_up(next(iter(workloads.values()))[0], folder / "warm-up")
        for number in range(options.rounds):
            for workload, paths in workloads.items():
                print(
                    f"Round {number + 1} of {options.rounds}, {workload.megapixels:g} MP,"
                    f" {workload.photo_set}:",
                    flush=True,
                )
                measure_programs(measurements, options, workload, paths, folder, number)
    results = figures.collect(measurements.runs, measurements.timings, options, list(workloads))
    report.save(results, options.out)
    if options.docs:
        report.save_charts(results, Path("docs"))


def _photographs(options: argparse.Namespace, photo_set: PhotoSet, size: float) -> list[Path]:
    folder = ROOT / "photographs" / str(options.photos.resolve()).strip("/").replace("/", "-")
    least = max(PHOTOGRAPHS.get(size, DEFAULT_PHOTOGRAPHS), MIN_PER_CPU * available_cpus())
    return photographs(options.photos, folder, size, options.count or least, photo_set)


def measure_programs(
    measurements: Measurements,
    options: argparse.Namespace,
    workload: Workload,
    paths: list[Path],
    folder: Path,
    number: int,
) -> None:
    """Run every program once; each round begins with another one."""
    cpus = available_cpus()
    complete = workload.photo_set == options.sets[0]
    programs: list[tuple[str, Callable[[], RunResult]]] = [
        (REMBG, lambda: rembg_run.run(paths, folder / "rembg", 1, SKIP)),
    ]
    if complete:
        programs.append((REMBG_PER_CPU, lambda: rembg_run.run(paths, folder / "rembg", cpus, SKIP)))
    for model in options.models if complete else options.models[:1]:

        def run_cutout(model: str = model) -> RunResult:
            return cutout_run.run(
                paths * REPEATS, model, folder / "cutout", options.children, SKIP
            )  # fmt: skip

        programs.append((model, run_cutout))
    if complete:

        def run_default() -> RunResult:
            return cutout_run.run(
                paths * REPEATS, DEFAULT_MODEL, folder / "cutout", options.children, SKIP, ()
            )  # fmt: skip

        programs.append((DEFAULT_RECIPE, run_default))
    first = number % len(programs)
    for name, run in programs[first:] + programs[:first]:
        result = run()
        measurements.runs[workload, name].append(result)
        seconds = figures.program_seconds(result.cpu)
        lost = result.cpu[OTHER_PROGRAMS] * result.rate / cpus
        print(
            f"  {name:26} {result.rate:6.2f} images/s {seconds:6.2f} CPU s/image"
            f"   (other programs used {lost:.0%} of the machine)",
            flush=True,
        )
        if complete and name in options.models:
            with_pillow = name == options.models[0]
            measure_bare_pipeline(measurements, workload, paths, name, with_pillow=with_pillow)


def measure_bare_pipeline(
    measurements: Measurements,
    workload: Workload,
    paths: list[Path],
    model: str,
    *,
    with_pillow: bool,
) -> None:
    """Time the pipeline without queue and storage, and its parts, on every CPU at once."""
    tasks = (*BARE_TASKS, bare_pipeline.pillow_encode) if with_pillow else BARE_TASKS
    timings = bare_pipeline.timed(tasks, paths, model, available_cpus())
    for task, timing in zip(tasks, timings, strict=True):
        measurements.timings[workload, model, task.__name__].append(timing)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
