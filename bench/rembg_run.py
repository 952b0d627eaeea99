"""Runs `rembg p` as released, in an environment of its own."""

import json
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from meter import Meter, running
from run_result import RunResult, measure

from contract.settings import settings

ENVIRONMENT = Path(".bench/peer/bin")
WEIGHTS = Path(".bench/weights")
PACKAGES = ("rembg", "onnxruntime", "pillow", "numpy")


def versions() -> dict[str, str]:
    script = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    command = [str(ENVIRONMENT / "python"), "-c", script, *PACKAGES]
    return dict(json.loads(subprocess.check_output(command)))


def warm_up(photograph: Path, folder: Path) -> None:
    """Run rembg once, uncounted: its first start compiles for most of a minute and caches that."""
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    link = WEIGHTS / "u2net.onnx"
    link.unlink(missing_ok=True)
    link.symlink_to(settings().model_dir.expanduser() / "u2net.onnx")
    _run([[photograph]], folder)
    shutil.rmtree(folder)


def run(photographs: list[Path], folder: Path, processes: int, skip: int) -> RunResult:
    """Measure rembg with one process for all photographs, or several with a share for each."""
    shares = [photographs[number::processes] for number in range(processes)]
    meter = _run(shares, folder)
    outputs = [[_output(folder, photograph) for photograph in share] for share in shares]
    result = measure(outputs, meter, processes, skip)
    shutil.rmtree(folder)
    return result


def _run(shares: list[list[Path]], folder: Path) -> Meter:
    env = {"U2NET_HOME": str(WEIGHTS.resolve())}
    if len(shares) > 1:
        env["OMP_NUM_THREADS"] = "1"  # one CPU for each process: rembg's fastest setting
    with ExitStack() as stack:
        processes = []
        for number, share in enumerate(shares):
            source = folder / f"in-{number}"
            source.mkdir(parents=True)
            for photograph in share:
                os.link(photograph, source / photograph.name)
            command = [
                str(ENVIRONMENT / "rembg"), "p", "-m", "u2net", str(source), str(folder / "out")
            ]  # fmt: skip
            processes.append(stack.enter_context(running(command, folder / "log", env)))
        with Meter(*(process.pid for process in processes)) as meter:
            failed = [process for process in processes if process.wait()]
    done = all(_output(folder, photograph).exists() for share in shares for photograph in share)
    if failed or not done:
        log = (folder / "log").read_text(encoding="utf-8")[-2000:]
        raise SystemExit(f"bench: rembg failed; its log ends:\n{log}")
    return meter


def _output(folder: Path, photograph: Path) -> Path:
    return folder / "out" / f"{photograph.stem}.png"
