"""The plot of a comparison: what an image takes of the machine, by stage, beside rembg."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by everyone, in the order the stages run
COLOURS = {
    "check": "#CC79A7",
    "fetch": "#56B4E9",
    "decode": "#0072B2",
    "matte": "#E69F00",
    "compose": "#F0E442",
    "render": "#882255",
    "encode": "#009E73",
    "store": "#D55E00",
}
STORAGE = ("check", "fetch", "store")
REST, THEIRS, IDLE, INK = "#444444", "#AEB4BB", "#EEF0F2", "#222222"


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw a panel for each size: its bars say what an image takes of all the CPUs."""
    sizes = found["sizes"]
    style = {"font.size": 10, "text.color": INK, "hatch.color": "#C4C8CD", "hatch.linewidth": 0.6}
    with mpl.rc_context(style):
        figure, panels = plt.subplots(1, len(sizes), figsize=(3.7 * len(sizes), 4.8), squeeze=False)
        for axes, size in zip(panels[0], sizes, strict=True):
            _panel(axes, found, size)
        panels[0][0].set_ylabel(f"seconds of the {found['cpus']} CPUs for an image")
        handles, labels = panels[0][0].get_legend_handles_labels()
        by_label = dict(zip(labels, handles, strict=True))
        figure.legend(
            by_label.values(), by_label.keys(), loc="lower center",
            ncols=3 if len(sizes) == 1 else min(len(by_label), 4 * len(sizes)), fontsize=9,
            frameon=False, handlelength=1, columnspacing=1.2,
        )  # fmt: skip
        figure.suptitle(f"{found['machine']}, {found['date'][:10]}", fontsize=9, color="#555555")
        figure.tight_layout(rect=(0, 0.18 / len(sizes), 1, 1))
        figure.savefig(path, dpi=160, facecolor="white", metadata={"Software": None})
        plt.close(figure)


def _panel(axes: Axes, found: dict[str, Any], size: dict[str, Any]) -> None:
    names = list(size["sides"])
    for place, name in enumerate(names):
        side = size["sides"][name]
        total = found["cpus"] / side["rate"]
        if name not in found["models"]:
            busy = min(total, side["cpu_seconds"])
            axes.bar(place, busy, 0.66, color=THEIRS, label="rembg")
            axes.bar(place, total - busy, 0.66, busy, color=IDLE, hatch="///", label="CPUs idle")
        else:
            _stack(axes, place, side["milliseconds"], total)
        axes.annotate(
            f"{side['rate']:.2f}/s", (place, total), (0, 3), textcoords="offset points",
            ha="center", fontweight="bold" if name in found["models"] else "normal",
        )  # fmt: skip
    axes.set_title(f"{size['megapixels']:g} MP", fontweight="bold", loc="left")
    axes.set_xticks(range(len(names)), [_label(name, found) for name in names], fontsize=8.5)
    axes.margins(y=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.grid(visible=True, color="#E6E6E6")
    axes.set_axisbelow(True)


def _stack(axes: Axes, place: int, stages: dict[str, float], total: float) -> None:
    """Stack the stages. Those at storage, and the wait for a turn, leave the CPUs to others."""
    seconds = {stage: took / 1000 for stage, took in stages.items() if stage != "wait"}
    storage = sum(seconds[stage] for stage in STORAGE)
    computing = sum(seconds.values()) - storage
    share = min(1, max(0, total - computing) / storage)
    bottom = 0.0
    for stage, took in seconds.items():
        height = took * (share if stage in STORAGE else 1)
        axes.bar(place, height, 0.66, bottom, color=COLOURS.get(stage, REST), label=stage)
        bottom += height
    axes.bar(place, max(0.0, total - bottom), 0.66, bottom, color=REST, label="queue and waiting")


def _label(name: str, found: dict[str, Any]) -> str:
    if name in found["models"]:
        return f"cutout\n{name}"
    return f"rembg\n{found['cpus']} processes" if "," in name else "rembg\n1 process"
