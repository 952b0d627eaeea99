"""The figures of a comparison: as JSON, as Markdown tables, as charts."""

import argparse
import json
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chart
import rembg_run
from bare_pipeline import Timing
from chart import REMBG, REMBG_PER_CPU
from meter import OTHER_PROGRAMS
from run_result import RunResult, agreement

from worker.cpu.count import available_cpus

if TYPE_CHECKING:
    from compare import Workload

PACKAGES = ("cutout-queue", "onnxruntime", "pillow", "numpy", "celery", "isal")
NOT_COUNTED = {"S3 endpoint", OTHER_PROGRAMS}
"""Left out of a program's CPU time: in production, storage runs on machines of its own."""

LEGEND = """\
CPU s/image: of all processes of a program but the S3 endpoint. MB together: their peak memory at
one moment, shared pages counted once. Other programs: CPU time that other programs used meanwhile.
Bare: what a worker process does between fetch and store, on every CPU, without queue and storage.
Roofline: images per second if only decoding (load), the network alone (run) and encoding were done,
one after the other. Shares are the medians of each round's own."""

Figures = dict[str, Any]
Runs = Mapping[tuple["Workload", str], list[RunResult]]
Timings = Mapping[tuple["Workload", str, str], list[Timing]]


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


def figures(
    runs: Runs, timings: Timings, options: argparse.Namespace, workloads: list["Workload"]
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


def _workload(workload: "Workload", runs: Runs, timings: Timings) -> Figures:
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


def _tasks(timings: Timings, workload: "Workload", model: str) -> dict[str, list[Timing]]:
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


def save(figures: Figures, folder: Path) -> None:
    """Write bench.json, bench.md and the charts; print the tables."""
    save_charts(figures, folder)
    text = markdown(figures)
    (folder / "bench.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\nSaved in {folder}: " + ", ".join(sorted(p.name for p in folder.iterdir())))


def save_charts(figures: Figures, folder: Path) -> None:
    """Write bench.json and the charts drawn from it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    chart.draw(figures, folder)


def markdown(figures: Figures) -> str:
    rounds = f"medians of {figures['rounds']} rounds" if figures["rounds"] > 1 else "one round"
    children = f"{figures['children']} worker processes"
    heads = [
        f"{figures['date']}, {figures['machine']}; {rounds}, {children}.",
        "cutout: " + ", ".join(f"{name} {text}" for name, text in figures["cutout"].items()),
        "rembg: " + ", ".join(f"{name} {text}" for name, text in figures["rembg"].items()),
    ]
    tables = (_programs_table, _parts_table, _stages_table, _bare_table, _png_table)
    return "\n\n".join([*heads, *(table(figures) for table in tables), LEGEND]) + "\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _title(workload: Figures) -> str:
    return f"{workload['megapixels']:g} MP {workload['set']}"


def _programs_table(figures: Figures) -> str:
    rows = []
    for workload in figures["workloads"]:
        rembg = workload["programs"][REMBG]
        for name, program in workload["programs"].items():
            iou = workload["agreement"].get(name)
            rows.append(
                [
                    f"{_title(workload)}, {name}",
                    f"{program['rate']:.2f}",
                    f"{program['ratio']:.2f}",
                    f"{program['cpu_seconds']:.2f}",
                    f"{rembg['cpu_seconds'] / program['cpu_seconds']:.2f}",
                    f"{program['bytes_together'] / 1e6:,.0f}",
                    f"{program['bytes_largest'] / 1e6:,.0f}",
                    f"{program['output_bytes'] / 1e6:.2f}",
                    f"{iou:.4f}" if iou is not None else "",
                ]
            )
    heads = [
        "", "images/s", "x rembg p", "CPU s/image", "x less", "MB together", "MB largest process",
        "MB output", "mask IoU with rembg",
    ]  # fmt: skip
    return _table(heads, rows)


def _cutout_programs(figures: Figures) -> list[tuple[str, Figures]]:
    return [
        (f"{_title(workload)}, {name}", program)
        for workload in figures["workloads"]
        for name, program in workload["programs"].items()
        if name in figures["models"]
    ]


def _parts_table(figures: Figures) -> str:
    programs = _cutout_programs(figures)
    parts = dict.fromkeys(part for _, program in programs for part in program["cpu_by_part"])
    rows = [
        [name, *(f"{program['cpu_by_part'].get(part, 0) * 1000:.1f}" for part in parts)]
        for name, program in programs
    ]
    return _table(["CPU ms/image", *parts], rows)


def _stages_table(figures: Figures) -> str:
    programs = _cutout_programs(figures)
    stages = dict.fromkeys(stage for _, program in programs for stage in program["milliseconds"])
    rows = [
        [name, *(f"{program['milliseconds'].get(stage, 0):.0f}" for stage in stages)]
        for name, program in programs
    ]
    return _table(["ms/image by stage", *stages], rows)


def _bare_table(figures: Figures) -> str:
    rows = []
    for workload in figures["workloads"]:
        for model, bare in workload["bare"].items():
            rate = workload["programs"][model]["rate"]
            rows.append(
                [
                    f"{_title(workload)}, {model}",
                    f"{rate:.2f}",
                    f"{bare['rate']:.2f}",
                    f"{bare['share_of_bare']:.3f}",
                    f"{bare['roofline']:.2f}",
                    f"{bare['share_of_roofline']:.3f}",
                    *(f"{milliseconds:.0f}" for milliseconds in bare["milliseconds"].values()),
                ]
            )
    heads = [
        "images/s", "queue to storage", "bare", "share of bare", "roofline", "share of roofline",
        "load ms", "run ms", "encode ms",
    ]  # fmt: skip
    return _table(heads, rows)


def _png_table(figures: Figures) -> str:
    rows = [
        [
            _title(workload),
            f"{png['seconds'] * 1000:.0f}",
            f"{png['pillow_seconds'] * 1000:.0f}",
            f"{png['faster']:.2f}",
            f"{png['bytes'] / 1e6:.2f}",
            f"{png['pillow_bytes'] / 1e6:.2f}",
            f"{png['bytes'] / png['pillow_bytes']:.3f}",
        ]
        for workload in figures["workloads"]
        if (png := workload["png"])
    ]
    heads = ["PNG", "ms", "Pillow's ms", "x faster", "MB", "Pillow's MB", "size ratio"]
    return _table(heads, rows)
