"""The progress of a batch: a live bar on a terminal, else a line of text every few seconds."""

import time
from collections import deque

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from contract.batch import Progress as BatchProgress

TEXT_SECONDS = 10
"""Seconds between two lines of text, if the output is not a terminal."""
RATE_SECONDS = 60
"""The rate shown is the average over this many seconds."""


class ProgressDisplay:
    """On screen from its creation until `close`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._live.add_task("", total=None)
        self._rate = _Rate()
        self._printed = float("-inf")
        self._stalled_reason = ""
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def show(self, progress: BatchProgress) -> None:
        """Show a batch's counters, and why it makes no progress once that changes."""
        settled, total = progress.settled, progress.spec.total
        failed = f"[red]failed {progress.failed:,}[/]" if progress.failed else "failed 0"
        counts = f"done {progress.done:,}  skipped {progress.skipped:,}  {failed}"
        text = f"{settled:,}/{total:,}  {counts}  {self._rate.text(progress)}"
        self._live.update(self._task, total=total, completed=settled, description=text)
        reason = progress.stalled_reason
        if reason and reason != self._stalled_reason:
            self._console.print(f"Waiting: {reason}", markup=False, soft_wrap=True)
        self._stalled_reason = reason
        due = time.monotonic() - self._printed >= TEXT_SECONDS or progress.state == "closed"
        if due and not self._console.is_terminal:
            self._printed = time.monotonic()
            self._console.print(text, soft_wrap=True)


class _Rate:
    """Images per second over the last RATE_SECONDS, and the remaining time at that rate."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        """moments (by `time.monotonic`) and the settled images then"""

    def text(self, progress: BatchProgress) -> str:
        moment = time.monotonic()
        self._points.append((moment, progress.settled))
        while moment - self._points[0][0] > RATE_SECONDS:
            self._points.popleft()
        start, settled_before = self._points[0]
        settled = progress.settled - settled_before
        if not settled or progress.state not in {"open", "closed"}:
            return "-.- images/s"
        rate = settled / (moment - start)
        if progress.settled == progress.spec.total:
            return f"{rate:.1f} images/s"
        minutes, seconds = divmod(round((progress.spec.total - progress.settled) / rate), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{rate:.1f} images/s  ETA {hours}:{minutes:02d}:{seconds:02d}"
