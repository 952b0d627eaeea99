"""The latencies of cutouts in each situation, and their table."""

import argparse
import statistics
from dataclasses import dataclass, field

import figures

from worker.cpu.count import available_cpus, default_children

RESERVED_IDLE, RESERVED_BUSY = "one reserved process, idle", "one reserved process, a batch"
SHARED_IDLE, SHARED_BUSY = "none reserved, idle", "none reserved, a batch"
SITUATIONS = (RESERVED_IDLE, RESERVED_BUSY, SHARED_IDLE, SHARED_BUSY)
MAX_RESERVED_RATIO = 2
"""Goal: with a reserved process, a batch may at most double the 95th percentile."""


@dataclass
class Latencies:
    """The measurements of one situation."""

    seconds: list[float] = field(default_factory=list)
    """from the first byte of each request to the last of its response"""
    worker_seconds: list[float] = field(default_factory=list)
    """the part of each during which a worker process had the photograph"""
    other_programs: list[float] = field(default_factory=list)
    """share of the machine that other programs used, 0..1, per round"""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.seconds, n=20, method="inclusive")[-1]


def table(
    options: argparse.Namespace, latencies: dict[str, Latencies], batch_image_seconds: float
) -> str:
    """Return the figures as Markdown."""
    reserved_idle, reserved_busy, shared_idle, shared_busy = (
        latencies[situation] for situation in SITUATIONS
    )
    rows = [
        f"| {name} | {len(row.seconds)} | {row.median * 1000:.0f} ms | {row.p95 * 1000:.0f} ms"
        f" | {statistics.median(row.worker_seconds) * 1000:.0f} ms"
        f" | {statistics.mean(row.other_programs):.0%} |"
        for name, row in ((name, latencies[name]) for name in SITUATIONS)
    ]
    reached = {True: "reached", False: "MISSED"}
    ratio = reserved_busy.p95 / reserved_idle.p95
    delay = shared_busy.p95 - shared_idle.p95
    return "\n".join(
        [
            (
                f"`{options.model}`, {options.megapixels:g} MP over HTTP beside a batch of"
                f" {options.bulk:g} MP, {default_children(available_cpus())} worker processes;"
                f" {figures.machine()}"
            ),
            "",
            "| | cutouts | median | p95 | in a worker, median | other programs |",
            "|---|---:|---:|---:|---:|---:|",
            *rows,
            "",
            (
                f"With a reserved process, a batch makes p95 {ratio:.2f} times as long; goal: at"
                f" most {MAX_RESERVED_RATIO}: {reached[ratio <= MAX_RESERVED_RATIO]}."
            ),
            (
                f"Without one, it adds {delay * 1000:.0f} ms to p95; goal: at most one image of the"
                f" batch, {batch_image_seconds * 1000:.0f} ms:"
                f" {reached[delay <= batch_image_seconds]}."
            ),
            "",
        ]
    )
