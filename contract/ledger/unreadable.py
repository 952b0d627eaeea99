"""Batches that this process cannot read, as a newer release registered them: left to that release.

Lists leave them out, so that one of them never harms the others.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from contract.errors import PermanentError
from contract.stored import is_newer_release

log = structlog.get_logger(__name__)

MAX_LOGGED = 10_000
"""Batches that a process names in its log. After so many, the log has said it."""
_logged: set[str] = set()

OnUnreadable = Callable[[str, PermanentError], None]
"""Called with the ID of a batch or cutout that cannot be read, and the error that says why."""


def log_unreadable(batch: str, error: Exception) -> None:
    """Log that a batch is left alone, once per process."""
    if batch not in _logged and len(_logged) < MAX_LOGGED:
        _logged.add(batch)
        log.warning("batch of a newer release left alone", batch=batch, reason=str(error))


@contextmanager
def leaving_out(batch: str, on_unreadable: OnUnreadable) -> Iterator[None]:
    """Call `on_unreadable` if what is done in the context cannot read the batch."""
    try:
        yield
    except PermanentError as error:
        if not is_newer_release(error):
            raise
        on_unreadable(batch, error)
