"""The page of `cutout compare`: one file without any other resource."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from contract import names
from worker.comparison.pairs import Pair, Side

MAX_SHOWN = 50
"""Photographs that are shown: those that differ most."""
IOU_BOUNDS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1)
EDGE_BOUNDS = (0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
TEMPLATE = Path(__file__).with_name("page.html")


def page(titles: tuple[str, str], compared: Sequence[Pair]) -> str:
    """Return the HTML text. Keys and titles are untrusted."""
    worst = sorted(compared, key=_badness)[:MAX_SHOWN]
    found = [pair.difference for pair in compared if pair.difference]
    counts = [sum(1 for pair in compared if pair.sides[n].failure) for n in (0, 1)]
    first, second = map(_text, titles)
    values = {
        "{A}": first,
        "{B}": second,
        "{SUMMARY}": f"{len(compared):,} photographs; {len(found):,} mattes compared."
        f" Failed: {counts[0]:,} by A, {counts[1]:,} by B.",
        "{IOU}": _histogram([one.iou for one in found], IOU_BOUNDS),
        "{EDGE}": _histogram([one.edge for one in found], EDGE_BOUNDS),
        "{PAIRS}": "\n".join(map(_figure, worst)),
    }
    # in one pass: a title may contain a placeholder
    parts, rest = [], TEMPLATE.read_text()
    for name, value in values.items():
        before, rest = rest.split(name, 1)
        parts += [before, value]
    return "".join([*parts, rest])


def _badness(pair: Pair) -> tuple[float, float, str]:
    """Return the key of an order in which the worst come first: those that failed once."""
    failed = [bool(side.failure) for side in pair.sides]
    if pair.difference is None:
        return (-1 if failed[0] != failed[1] else 2), 0, pair.key
    return pair.difference.iou, -pair.difference.edge, pair.key


def _text(text: str) -> str:
    return escape(names.printable(text))


def _histogram(figures: Iterable[float], bounds: Sequence[float]) -> str:
    """Return the rows of a table: how many figures lie above each bound, up to the next."""
    counts = [0] * (len(bounds) - 1)
    for figure in figures:
        counts[next(n for n, high in enumerate(bounds[1:]) if figure <= high)] += 1
    largest = max(counts, default=0) or 1
    return "\n".join(
        f"<tr><th>{low:g} to {high:g}</th><td>{count:,}</td>"
        f'<td><div class="bar" style="width:{round(100 * count / largest)}%"></div></td></tr>'
        for low, high, count in zip(bounds, bounds[1:], counts, strict=False)
    )


def _figure(pair: Pair) -> str:
    figures = "no two mattes"
    if pair.difference:
        figures = f"IoU {pair.difference.iou:.4f}, edge difference {pair.difference.edge:.4f}"
    first, second = (_picture(side, name) for side, name in zip(pair.sides, "ab", strict=True))
    return (
        f'<figure><div class="pair">{first}{second}'
        '<input type="range" min="0" max="100" value="50" aria-label="share that shows A"></div>'
        f"<figcaption>{_text(pair.key)}<br>{figures}</figcaption></figure>"
    )


def _picture(side: Side, name: str) -> str:
    if data := side.picture():
        source = base64.b64encode(data).decode()
        return f'<img class="{name}" alt="{name.upper()}" src="data:image/webp;base64,{source}">'
    return f'<p class="{name}">{name.upper()}: {_text(side.failure or "no picture")}</p>'
