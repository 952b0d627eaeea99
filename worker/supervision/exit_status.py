"""A worker's exit status: 0 only if it was stopped on request, so that a supervisor knows."""

import mmap
import os

from celery.worker import state

EX_NO_MODEL = 1
"""A child could not load the model."""

_load_failed = mmap.mmap(-1, mmap.PAGESIZE)
"""Its first byte is 1 if a child could not load the model. Created before the fork, so all share
it."""


def record_load_failure() -> None:
    """Note that the calling child could not load the model; it then ends the worker by SIGTERM."""
    _load_failed[0] = 1


def exit_status() -> int:
    """Return the exit status of a worker whose main loop has ended.

    Celery's `worker_main` does not return it, and ends by itself only after an error.
    """
    if _load_failed[0]:
        return EX_NO_MODEL
    if state.should_stop is None and state.should_terminate is None:
        return os.EX_TEMPFAIL
    return int(state.should_stop or 0)
