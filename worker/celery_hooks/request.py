"""Celery's request, made to record in the ledger why a child died while processing an image.

Celery only returns the message to the queue (`task_reject_on_worker_lost`), and does so endlessly:
https://github.com/celery/celery/issues/9082
"""

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

EXIT = re.compile(r"signal \d+ \((SIG\w+)\)|(exitcode \d+)")
"""Matches billiard's `Worker exited prematurely: signal 9 (SIGKILL) Job: 1.`"""


@cache
def ledger() -> RedisLedger:
    """Return the main process's ledger. It never retries: the event loop waits for each call."""
    return RedisLedger(settings().require_redis_url(), retries=0)


def cause_of(error: BaseException) -> str:
    """Return why a child died: a signal's name, `exitcode N`, the time limit, or `unknown`."""
    if isinstance(error, TimeLimitExceeded):
        return f"time limit of {settings().time_limit:g} s"
    match = EXIT.search(str(error))
    return (match[1] or match[2]) if match else "unknown"


class CutoutRequest(Request):
    """A task that a child is running, as the main process sees it."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if not soft:
            self._record_crash(TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> Any:
        # billiard wraps the exceptions that its own code raises
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, WorkerLostError):
            self._record_crash(error)
        return super().on_failure(exc_info, *arguments, **options)

    def _record_crash(self, error: BaseException) -> None:
        job, cause = self.kwargs.get("job"), cause_of(error)
        try:
            token_prefix = plan().token_prefix(int(self.worker_pid or 0))
            ledger().lines.record_crash(job["batch"], job["line"], token_prefix, cause)
        except (CutoutError, KeyError, TypeError) as problem:
            # the line is retried when its lease ends
            log.warning("crash not recorded", task=self.id, cause=cause, reason=str(problem))
        else:
            log.error("crash recorded", task=self.id, cause=cause)
