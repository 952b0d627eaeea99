"""The figures of a comparison: as JSON, as Markdown tables, as a plot."""

import argparse
import json
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import peer
from bare import Timing
from meter import ELSEWHERE
from outputs import Pass, agreement
from plot import draw

from worker.cpu.count import available_cpus

REMBG = "rembg p"
REMBG_EACH = "rembg p, one for each CPU"
OURS = ("cutout", "onnxruntime", "pillow", "numpy", "celery", "isal")
APART = {"S3 endpoint", ELSEWHERE}
"""What no worker pays for: storage computes on machines of its own."""

MEANING = """\
CPU s/image: of all processes of a side but the S3 endpoint. MB together: the most they held at
once, what they share counted once. Elsewhere: what other programs took of the machine. Bare: what a
child does between fetch and store, on every CPU, without queue and storage. Roofline: as many
images as decoding (load), the network alone (run) and encoding, one after the other, would allow.
Shares are the medians of each round's own."""

Figures = dict[str, Any]


def machine() -> str:
    """Return the CPU's name, how many of it, and whether it has instructions for INT8 (VNNI)."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    names = {name.strip(): value.strip() for name, value in facts.items()}
    vnni = "VNNI" if "vnni" in names.get("flags", "") else "no VNNI"
    return f"{names.get('model name', platform.machine())}, {available_cpus()} CPUs, {vnni}"


def worker_seconds(cpu: Mapping[str, float]) -> float:
    """Return the CPU seconds of a side's own parts."""
    return sum(seconds for part, seconds in cpu.items() if part not in APART)


def figures(
    passes: Mapping[tuple[float, str], list[Pass]],
    timings: Mapping[tuple[float, str, str], list[Timing]],
    given: argparse.Namespace,
) -> Figures:
    """Return everything that was found, medians over the rounds, ready for JSON."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git is there
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "cpus": available_cpus(),
        "children": given.children,
        "rounds": given.rounds,
        "models": list(given.models),
        "ours": {name: version(name) for name in OURS} | {"commit": commit},
        "rembg": peer.versions(),
        "sizes": [_size(size, passes, timings, given) for size in given.sizes],
    }


def _size(
    size: float,
    passes: Mapping[tuple[float, str], list[Pass]],
    timings: Mapping[tuple[float, str, str], list[Timing]],
    given: argparse.Namespace,
) -> Figures:
    sides = {name: runs for (of, name), runs in passes.items() if of == size}
    theirs = sides[REMBG][0]
    return {
        "megapixels": size,
        "photographs": len(theirs.masks),
        "sides": {name: _side(runs) for name, runs in sides.items()},
        "agreement": {model: agreement(sides[model][0], theirs) for model in given.models},
        "bare": {
            model: _bare(sides[model], _tasks(timings, size, model)) for model in given.models
        },
        "png": _png(_tasks(timings, size, given.models[0])),
    }


def _side(runs: list[Pass]) -> Figures:
    return {
        "rate": statistics.median(run.rate for run in runs),
        "rates": [round(run.rate, 3) for run in runs],
        "cpu_seconds": statistics.median(worker_seconds(run.cpu) for run in runs),
        "cpu_by_part": _medians(run.cpu for run in runs),
        "bytes_together": max(run.together for run in runs),
        "bytes_largest": max(run.largest for run in runs),
        "output_bytes": runs[0].size,
        "milliseconds": _medians(run.stages for run in runs),
    }


def _medians(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    return {name: statistics.median(row.get(name, 0.0) for row in found) for name in names}


def _tasks(
    timings: Mapping[tuple[float, str, str], list[Timing]], size: float, model: str
) -> dict[str, list[Timing]]:
    """Return the timings of a size and model, by task and round."""
    return {task: found for (*of, task), found in timings.items() if of == [size, model]}


def _seconds(timings: list[Timing]) -> float:
    return statistics.median(timing.seconds for timing in timings)


def _bare(runs: list[Pass], tasks: Mapping[str, list[Timing]]) -> Figures:
    """Return the images a second of all CPUs: the work alone, and its three bare parts.

    Shares are of what was measured together, in a round.
    """
    whole = tasks["whole"]
    parts = {"load": "pillow_load", "run": "session_run", "encode": "our_encode"}
    rooflines = [
        sum(timing.seconds for timing in of_a_round)
        for of_a_round in zip(*(tasks[task] for task in parts.values()), strict=True)
    ]
    return {
        "rate": available_cpus() / _seconds(whole),
        "roofline": available_cpus() / statistics.median(rooflines),
        "share_of_bare": statistics.median(
            run.rate * timing.seconds / available_cpus()
            for run, timing in zip(runs, whole, strict=True)
        ),
        "share_of_roofline": statistics.median(
            roofline / timing.seconds for roofline, timing in zip(rooflines, whole, strict=True)
        ),
        "milliseconds": {name: _seconds(tasks[task]) * 1000 for name, task in parts.items()},
    }


def _png(tasks: Mapping[str, list[Timing]]) -> Figures:
    ours, theirs = tasks["our_encode"], tasks["pillow_encode"]
    return {
        "seconds": _seconds(ours),
        "pillow_seconds": _seconds(theirs),
        "faster": statistics.median(
            pillow.seconds / our.seconds for our, pillow in zip(ours, theirs, strict=True)
        ),
        "bytes": ours[0].size,
        "pillow_bytes": theirs[0].size,
    }


def save(found: Figures, folder: Path) -> None:
    """Write bench.json, bench.md and bench.png; print the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    text = markdown(found)
    (folder / "bench.md").write_text(text, encoding="utf-8")
    draw(found, folder / "bench.png")
    print(f"\n{text}\nSaved as bench.json, bench.md and bench.png in {folder}.")


def markdown(found: Figures) -> str:
    rounds = f"medians of {found['rounds']} rounds" if found["rounds"] > 1 else "one round"
    how = f"{rounds}, {found['children']} children of ours."
    heads = [
        f"{found['date']}, {found['machine']}; {how}",
        "cutout: " + ", ".join(f"{name} {text}" for name, text in found["ours"].items()),
        "rembg: " + ", ".join(f"{name} {text}" for name, text in found["rembg"].items()),
    ]
    tables = (_sides_table, _parts_table, _stages_table, _bare_table, _png_table)
    return "\n\n".join([*heads, *(table(found) for table in tables), MEANING]) + "\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _sides_table(found: Figures) -> str:
    rows = []
    for size in found["sizes"]:
        theirs = size["sides"][REMBG]
        for name, side in size["sides"].items():
            iou = size["agreement"].get(name)
            rows.append(
                [
                    f"{size['megapixels']:g} MP, {name}",
                    f"{side['rate']:.2f}",
                    f"{side['rate'] / theirs['rate']:.2f}",
                    f"{side['cpu_seconds']:.2f}",
                    f"{theirs['cpu_seconds'] / side['cpu_seconds']:.2f}",
                    f"{side['bytes_together'] / 1e6:,.0f}",
                    f"{side['bytes_largest'] / 1e6:,.0f}",
                    f"{side['output_bytes'] / 1e6:.2f}",
                    f"{iou:.4f}" if iou is not None else "",
                ]
            )
    heads = [
        "", "images/s", "x rembg p", "CPU s/image", "x less", "MB together", "MB largest process",
        "MB output", "mask IoU with rembg",
    ]  # fmt: skip
    return _table(heads, rows)


def _ours(found: Figures) -> list[tuple[str, Figures]]:
    return [
        (f"{size['megapixels']:g} MP, {model}", size["sides"][model])
        for size in found["sizes"]
        for model in found["models"]
    ]


def _parts_table(found: Figures) -> str:
    parts = dict.fromkeys(part for _, side in _ours(found) for part in side["cpu_by_part"])
    rows = [
        [name, *(f"{side['cpu_by_part'].get(part, 0) * 1000:.1f}" for part in parts)]
        for name, side in _ours(found)
    ]
    return _table(["CPU ms/image", *parts], rows)


def _stages_table(found: Figures) -> str:
    stages = dict.fromkeys(stage for _, side in _ours(found) for stage in side["milliseconds"])
    rows = [
        [name, *(f"{side['milliseconds'].get(stage, 0):.0f}" for stage in stages)]
        for name, side in _ours(found)
    ]
    return _table(["ms in a child", *stages], rows)


def _bare_table(found: Figures) -> str:
    rows = []
    for size in found["sizes"]:
        for model, bare in size["bare"].items():
            full = size["sides"][model]["rate"]
            rows.append(
                [
                    f"{size['megapixels']:g} MP, {model}",
                    f"{full:.2f}",
                    f"{bare['rate']:.2f}",
                    f"{bare['share_of_bare']:.3f}",
                    f"{bare['roofline']:.2f}",
                    f"{bare['share_of_roofline']:.3f}",
                    *(f"{part:.0f}" for part in bare["milliseconds"].values()),
                ]
            )
    heads = [
        "images/s", "queue to storage", "bare", "share of bare", "roofline", "share of roofline",
        "load ms", "run ms", "encode ms",
    ]  # fmt: skip
    return _table(heads, rows)


def _png_table(found: Figures) -> str:
    rows = [
        [
            f"{size['megapixels']:g} MP",
            f"{png['seconds'] * 1000:.0f}",
            f"{png['pillow_seconds'] * 1000:.0f}",
            f"{png['faster']:.2f}",
            f"{png['bytes'] / 1e6:.2f}",
            f"{png['pillow_bytes'] / 1e6:.2f}",
            f"{png['bytes'] / png['pillow_bytes']:.3f}",
        ]
        for size in found["sizes"]
        for png in (size["png"],)
    ]
    heads = ["PNG", "ms", "Pillow's ms", "x faster", "MB", "Pillow's MB", "size ratio"]
    return _table(heads, rows)
