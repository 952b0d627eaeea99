"""Celery's notices of a stop, such as `worker: Warm shutdown (MainProcess)`.

They are written to standard output, past the log, and no option turns them off.
"""

import sys
from typing import TextIO

from celery.apps import worker

_write = worker.safe_say  # type: ignore[attr-defined]  # not in the stubs


def hide_notices() -> None:
    """Leave them out, so that every line of a worker is one of its log: `worker is stopping`."""
    worker.safe_say = _say  # type: ignore[attr-defined]


def _say(text: str, file: TextIO | None = sys.__stderr__) -> None:
    if file is not sys.__stdout__:
        _write(text, file)  # stacks of all threads, after SIGUSR1
