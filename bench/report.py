"""Writes the figures of a comparison: as JSON, as Markdown tables, as charts."""

import json
from pathlib import Path

import chart
from chart import REMBG
from figures import Figures

LEGEND = """\
CPU s/image: of all processes of a program but the S3 endpoint. MB together: their peak memory at
one moment, shared pages counted once. Other programs: CPU time that other programs used meanwhile.
Bare: what a worker process does between fetch and store, on every CPU, without queue and storage.
Roofline: images per second if only decoding (load), the network alone (run) and encoding were done,
one after the other. Shares are the medians of each round's own."""


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
