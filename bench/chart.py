"""The README's chart, images per second, in a light and a dark version.

usage: chart.py bench.json FOLDER     (writes FOLDER/bench-light.svg and FOLDER/bench-dark.svg)
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

MODEL, REMBG, REMBG_PER_CPU = "u2net-int8", "rembg p", "rembg p, one per CPU"
PHOTO_SET = "noisy"
BAR_HEIGHT = 0.74
SIZE_INCHES = (8.4, 3.9)


LABELS = {MODEL: f"cutout, {MODEL}", REMBG_PER_CPU: REMBG_PER_CPU, REMBG: REMBG}
LEFT_EDGE = -0.46
"""Of the text on the left, in widths of the plot."""


class Theme(NamedTuple):
    """Colours for one background, which itself stays transparent."""

    text: str
    dim: str
    on_bar: str
    bars: dict[str, str]


THEMES = {
    "light": Theme(
        "#1f2328", "#59636e", "#ffffff",
        {MODEL: "#0072b2", REMBG_PER_CPU: "#9aa4af", REMBG: "#c4cbd3"},
    ),
    "dark": Theme(
        "#f0f6fc", "#9198a1", "#0d1117",
        {MODEL: "#56b4e9", REMBG_PER_CPU: "#6b7580", REMBG: "#48515b"},
    ),
}  # fmt: skip


def draw(figures: dict[str, Any], folder: Path) -> None:
    """Write bench-light.svg and bench-dark.svg; nothing if `u2net-int8` was not measured."""
    workloads = [
        workload
        for workload in figures["workloads"]
        if workload["set"] == PHOTO_SET
        and {MODEL, REMBG, REMBG_PER_CPU} <= workload["programs"].keys()
    ]
    if not workloads:
        return
    for name, theme in THEMES.items():
        # text stays text, in the reader's own sans-serif font
        style = {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif",
                 "font.size": 11, "text.color": theme.text}  # fmt: skip
        with mpl.rc_context(style):
            figure, axes = plt.subplots(figsize=SIZE_INCHES)
            _bars(axes, workloads, theme)
            _caption(axes, figures, theme)
            figure.subplots_adjust(left=0.3, right=0.93, top=0.88, bottom=0.1)
            path = folder / f"bench-{name}.svg"
            figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
            plt.close(figure)


def _bars(axes: Axes, workloads: list[dict[str, Any]], theme: Theme) -> None:
    """Draw three bars per size, labelled with the rate; cutout's also with the ratio to rembg."""
    by_axes = axes.get_yaxis_transform()
    y = 0.0
    for workload in workloads:
        axes.text(
            LEFT_EDGE, y + 1, f"{workload['megapixels']:g} MP",
            fontsize=13, fontweight="bold", va="center", transform=by_axes,
        )  # fmt: skip
        for name, label in LABELS.items():
            program = workload["programs"][name]
            is_cutout = name == MODEL
            colour = theme.text if is_cutout else theme.dim
            weight = "bold" if is_cutout else "normal"
            axes.barh(y, program["rate"], BAR_HEIGHT, color=theme.bars[name])
            axes.text(
                -0.012, y, label, ha="right", va="center", color=colour, fontsize=10,
                transform=by_axes,
            )  # fmt: skip
            axes.annotate(
                f"{program['rate']:.2f}", (program["rate"], y), (6, 0),
                textcoords="offset points", va="center", color=colour, fontweight=weight,
            )  # fmt: skip
            if is_cutout:
                axes.annotate(
                    f"{program['ratio']:.1f}x", (program["rate"], y), (-8, 0),
                    textcoords="offset points", ha="right", va="center", color=theme.on_bar,
                    fontweight="bold",
                )  # fmt: skip
            y += 1
        y += 0.7
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_axis_off()


def _caption(axes: Axes, figures: dict[str, Any], theme: Theme) -> None:
    axes.set_title("Images per second, higher is better", x=LEFT_EDGE, loc="left", fontsize=12)
    axes.text(LEFT_EDGE, -0.03, f"{figures['machine']}; noisy photographs; x: times rembg p",
              color=theme.dim, fontsize=9, va="top", transform=axes.transAxes)  # fmt: skip


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
