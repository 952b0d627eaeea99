"""The figures of a comparison: medians and shares of what was measured."""

import argparse
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rembg_run
from bare_pipeline import Timing
from chart import REMBG, REMBG_PER_CPU
from meter import OTHER_PROGRAMS
from photographs import Workload
from run_result import RunResult, agreement

from worker.cpu.count import available_cpus

PACKAGES = ("cutout-queue", "onnxruntime", "pillow", "numpy", "celery", "isal")
NOT_COUNTED = {"S3 endpoint", OTHER_PROGRAMS}
"""Left out of a program's CPU time: in production, storage runs on machines of its own."""

Figures = dict[str, Any]
Runs = Mapping[tuple[Workload, str], list[RunResult]]
Timings = Mapping[tuple[Workload, str, str], list[Timing]]


def machine() -> str:
    """Return the CPU's name, the number of CPUs, and whether it has VNNI, instructions for INT8."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    names = {name.strip(): value.strip() for name, value in facts.items()}
    vnni = "VNNI" if "vnni" in names.get("flags", "") else "no VNNI"
    return f"{names.get('model name', platform.machine())}, {available_cpus()} CPUs, {vnni}"


def program_seconds(cpu: Mapping[str, float]) -> float:
    """Return the CPU seconds of a program's own parts."""
    return sum(seconds for part, seconds in cpu.items() if part not in NOT_COUNTED)


def collect(
    runs: Runs, timings: Timings, options: argparse.Namespace, workloads: list[Workload]
) -> Figures:
    """Return all figures, as medians over the rounds, ready for JSON."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the first git on the PATH
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "cpus": available_cpus(),
        "children": options.children,
        "rounds": options.rounds,
        "models": list(options.models),
        "cutout": {name: version(name) for name in PACKAGES} | {"commit": commit},
        "rembg": rembg_run.versions(),
        "workloads": [_workload(workload, runs, timings) for workload in workloads],
    }


def _workload(workload: Workload, runs: Runs, timings: Timings) -> Figures:
    programs = {name: results for (of, name), results in runs.items() if of == workload}
    rembg = programs[REMBG][0]
    tasks = {
        model: _tasks(timings, workload, model)
        for model in programs
        if any(key[:2] == (workload, model) for key in timings)
    }
    with_pillow = [rows for rows in tasks.values() if "pillow_encode" in rows]
    return {
        "set": workload.photo_set,
        "megapixels": workload.megapixels,
        "photographs": len(rembg.masks),
        "programs": {
            name: _program(results, programs[REMBG]) for name, results in programs.items()
        },
        "agreement": {
            name: agreement(results[0], rembg)
            for name, results in programs.items()
            if name not in {REMBG, REMBG_PER_CPU}
        },
        "bare": {model: _bare(programs[model], rows) for model, rows in tasks.items()},
        "png": _png(with_pillow[0]) if with_pillow else None,
    }


def _program(results: list[RunResult], rembg: list[RunResult]) -> Figures:
    rate = statistics.median(result.rate for result in results)
    return {
        "rate": rate,
        "ratio": rate / statistics.median(result.rate for result in rembg),
        "rates": [round(result.rate, 3) for result in results],
        "cpu_seconds": statistics.median(program_seconds(result.cpu) for result in results),
        "cpu_by_part": _medians(result.cpu for result in results),
        "bytes_together": max(result.bytes_together for result in results),
        "bytes_largest": max(result.bytes_largest for result in results),
        "output_bytes": results[0].output_bytes,
        "milliseconds": _medians(result.stages for result in results),
    }


def _medians(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    all_rows = list(rows)
    names = dict.fromkeys(name for row in all_rows for name in row)
    return {name: statistics.median(row.get(name, 0.0) for row in all_rows) for name in names}


def _tasks(timings: Timings, workload: Workload, model: str) -> dict[str, list[Timing]]:
    """Return the timings of a workload and model: by task, one per round."""
    return {task: rows for (*of, task), rows in timings.items() if of == [workload, model]}


def _seconds(timings: list[Timing]) -> float:
    return statistics.median(timing.seconds for timing in timings)


def _bare(results: list[RunResult], tasks: Mapping[str, list[Timing]]) -> Figures:
    """Return images per second of all CPUs for the bare pipeline and for its three parts.

    Shares compare figures of the same round.
    """
    whole = tasks["whole"]
    parts = {"load": "pillow_load", "run": "session_run", "encode": "png_encode"}
    rooflines = [
        sum(timing.seconds for timing in of_a_round)
        for of_a_round in zip(*(tasks[task] for task in parts.values()), strict=True)
    ]
    return {
        "rate": available_cpus() / _seconds(whole),
        "roofline": available_cpus() / statistics.median(rooflines),
        "share_of_bare": statistics.median(
            result.rate * timing.seconds / available_cpus()
            for result, timing in zip(results, whole, strict=True)
        ),
        "share_of_roofline": statistics.median(
            roofline / timing.seconds for roofline, timing in zip(rooflines, whole, strict=True)
        ),
        "milliseconds": {name: _seconds(tasks[task]) * 1000 for name, task in parts.items()},
    }


def _png(tasks: Mapping[str, list[Timing]]) -> Figures:
    cutout, pillow = tasks["png_encode"], tasks["pillow_encode"]
    return {
        "seconds": _seconds(cutout),
        "pillow_seconds": _seconds(pillow),
        "faster": statistics.median(
            theirs.seconds / own.seconds for own, theirs in zip(cutout, pillow, strict=True)
        ),
        "bytes": cutout[0].size,
        "pillow_bytes": pillow[0].size,
    }
