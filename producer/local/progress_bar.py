"""What a person sees while a batch runs: a live bar on a terminal, else a line now and then."""

import time
from collections import deque

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from contract.batch import Progress as BatchProgress

PLAIN_SECONDS = 10
RATE_SECONDS = 60


class Screen:
    """Shows itself from the start, until closed."""

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
        self._trouble = ""
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def show(self, now: BatchProgress) -> None:
        failed = f"[red]failed {now.failed:,}[/]" if now.failed else "failed 0"
        counts = f"done {now.done:,}  skipped {now.skipped:,}  {failed}"
        text = f"{now.settled:,}/{now.spec.total:,}  {counts}  {self._rate.text(now)}"
        self._live.update(self._task, total=now.spec.total, completed=now.settled, description=text)
        if now.stalled_reason != self._trouble:
            self._trouble = now.stalled_reason
            if now.stalled_reason:
                self._console.print(f"Waiting: {now.stalled_reason}", markup=False, soft_wrap=True)
        due = time.monotonic() - self._printed >= PLAIN_SECONDS or now.state == "closed"
        if due and not self._console.is_terminal:
            self._printed = time.monotonic()
            self._console.print(text, soft_wrap=True)


class _Rate:
    """Images a second over the last minute, and what that makes of the rest."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def text(self, now: BatchProgress) -> str:
        clock = time.monotonic()
        self._points.append((clock, now.settled))
        while clock - self._points[0][0] > RATE_SECONDS:
            self._points.popleft()
        start, before = self._points[0]
        settled = now.settled - before
        if not settled:
            return "-.- images/s"
        rate = settled / (clock - start)
        if now.settled == now.spec.total:
            return f"{rate:.1f} images/s"
        minutes, seconds = divmod(round((now.spec.total - now.settled) / rate), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{rate:.1f} images/s  ETA {hours}:{minutes:02d}:{seconds:02d}"
