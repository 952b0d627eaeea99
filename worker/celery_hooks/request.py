"""Celery's request, made to record why a child died while processing an image, and each result.

Of a dead child, Celery only returns the message to the queue (`task_reject_on_worker_lost`), and
does so endlessly:
https://github.com/celery/celery/issues/9082
"""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import structlog
from billiard.einfo import ExceptionWithTraceback  # type: ignore[attr-defined]  # newer than the stubs
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request
from pydantic import ValidationError

from contract import names
from contract.counters import counters
from contract.errors import CutoutError
from contract.ledger.records import RESULT_CRASH, RESULT_OK
from contract.ledger.redis_ledger import RedisLedger
from contract.metrics import WORKER_CRASHES
from contract.settings import settings
from worker.foreign import ForeignJob
from worker.runtime import plan

log = structlog.get_logger(__name__)

EXIT = re.compile(r"signal \d+ \((SIG\w+)\)|(exitcode \d+)")
"""Matches billiard's `Worker exited prematurely: signal 9 (SIGKILL) Job: 1.`"""


result_listeners: list[Callable[[str, str], None]] = []
"""Called in the main process with the batch and the result of every attempt: an error code,
`crash` or `ok`."""


@cache
def ledger() -> RedisLedger:
    """Return the main process's ledger. It never retries: the event loop waits for each call."""
    return RedisLedger(settings().require_redis_address(), retries=0)


def count_dropped_message(queue: str, reason: str) -> None:
    """Log and count a message that no worker can process. `queue`: empty if not known."""
    log.error("message dropped", queue=queue, reason=reason)
    try:
        ledger().workers.count_dropped_message()
    except CutoutError as problem:
        log.warning("dropped message not counted", reason=str(problem))


def cause_of(error: BaseException) -> str:
    """Return why a child died: a signal's name, `exitcode N`, the time limit, or `unknown`."""
    if isinstance(error, TimeLimitExceeded):
        return f"time limit of {settings().time_limit:g} s"
    match = EXIT.search(str(error))
    return (match[1] or match[2]) if match else "unknown"


def cause_label(error: BaseException) -> str:
    """Return `cause_of` as one of few words: a signal's name, `exit`, `time_limit`, `unknown`."""
    if isinstance(error, TimeLimitExceeded):
        return "time_limit"
    match = EXIT.search(str(error))
    return (match[1] or "exit") if match else "unknown"


def result_of(error: BaseException) -> str:
    """Return the result of an attempt that ended with an exception: the code it begins with.

    Empty if the attempt says nothing about this worker.
    """
    if isinstance(error, Ignore | Reject):
        return ""
    return RESULT_CRASH if isinstance(error, WorkerLostError) else str(error).partition(":")[0]


def record_crash(job: ForeignJob, token_prefix: str, cause: str) -> None:
    """Record and log that the child with this prefix of claim tokens died while it had a line."""
    key = names.printable(job.photograph.key)
    try:
        ledger().lines.record_crash(job.batch, job.line, token_prefix, cause)
    except CutoutError as problem:
        # the line is retried when its lease ends
        log.warning(
            "crash not recorded",
            batch=job.batch, line=job.line, key=key, cause=cause, reason=str(problem),
        )  # fmt: skip
    else:
        log.error("crash recorded", batch=job.batch, line=job.line, key=key, cause=cause)


class CutoutRequest(Request):
    """A task that a child is running, as the main process sees it."""

    def on_success(self, failed__retval__runtime: Any, **options: Any) -> Any:
        if not failed__retval__runtime[0]:
            self._report(RESULT_OK)
        return super().on_success(failed__retval__runtime, **options)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        if not soft:
            self._record_crash(TimeLimitExceeded(timeout))
            self._report(RESULT_CRASH)
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, *arguments: Any, **options: Any) -> Any:
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):  # billiard's own code raised it
            error = error.exc
        if isinstance(error, WorkerLostError):
            self._record_crash(error)
        if isinstance(error, Reject):
            queue = self.delivery_info["routing_key"] or ""
            count_dropped_message(queue, "It holds no job of any release.")
        if isinstance(error, Ignore):
            # Celery sends no event, and Flower would show the image as started for ever. Only the
            # state of a retried image changes again once it is processed
            kind = "task-revoked" if str(error) == "settled" else "task-retried"
            self.send_event(kind)
        if result := result_of(error):
            self._report(result)
        return super().on_failure(exc_info, *arguments, **options)

    def _report(self, result: str) -> None:
        """Tell the listeners, before the message is acknowledged and the next one is taken."""
        batch = self.id.rpartition(".")[0]  # see `ImageJob.task_id`
        for listener in result_listeners:
            listener(batch, result)

    def _record_crash(self, error: BaseException) -> None:
        counters.add(WORKER_CRASHES, cause_label(error))
        with suppress(ValidationError):  # a message of no release: no line is claimed for it
            record_crash(
                ForeignJob.model_validate(self.kwargs.get("job")),
                plan().token_prefix(int(self.worker_pid or 0)),
                cause_of(error),
            )
