"""What a worker's main process does when one of its children is gone: it says what ended it."""

import re
from functools import cache
from typing import Any

import structlog
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from contract.errors import CutoutError
from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings
from worker.runtime import plan

log = structlog.get_logger(__name__)

SIGNAL = re.compile(r"signal \d+ \((SIG\w+)\)|(exitcode \d+)")
"""As in billiard's `Worker exited prematurely: signal 9 (SIGKILL) Job: 1.`"""


@cache
def ledger() -> RedisLedger:
    """Return the main process's own: one quick try, because its event loop waits meanwhile."""
    return RedisLedger(settings().require_redis_url(), retries=0)


def cause_of(error: BaseException) -> str:
    """Name a signal, an exit code or a limit."""
    if isinstance(error, TimeLimitExceeded):
        return f"time limit of {settings().time_limit:g} s"
    found = SIGNAL.search(str(error))
    return (found[1] or found[2]) if found else "unknown"


class CutoutRequest(Request):
    """Celery's own view of a job in hand; its message goes back to the queue by itself."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if not soft:
            self._note(TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> Any:
        # billiard wraps what its own processes raise
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, WorkerLostError):
            self._note(error)
        return super().on_failure(exc_info, *arguments, **options)

    def _note(self, error: BaseException) -> None:
        job, cause = self.kwargs.get("job"), cause_of(error)
        try:
            holder = plan().token_prefix(int(self.worker_pid or 0))
            ledger().lines.record_crash(job["batch"], job["line"], holder, cause)
        except (CutoutError, KeyError, TypeError) as trouble:
            # the lease ends by itself, later
            log.warning("a death could not be noted", task=self.id, why=str(trouble))
        else:
            log.error("a process ended with an image in hand", task=self.id, cause=cause)
