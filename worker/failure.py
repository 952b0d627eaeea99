"""What an error means for an image: another attempt, or a failure with a code."""

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from contract.errors import (
    INFRASTRUCTURE_CODES,
    CutoutError,
    ErrorCode,
    PermanentError,
    RetryableError,
)
from contract.job import ImageJob
from contract.outcome import FailedRendition, Outcome, Status
from worker.attempt import Attempt
from worker.retry import retry_delay, retry_until
from worker.runtime import Runtime

log = structlog.get_logger(__name__)

RETRIES_ELSEWHERE = 2
"""Retries after an infrastructure error that is final for this worker: refused credentials, or an
object that is not found. Another worker may have credentials, or a folder that is mounted."""


class DeferredError(Exception):
    """The image was released for a later retry; it has no outcome yet."""

    def __init__(self, error: CutoutError, attempt: int) -> None:
        """`attempt`: number of the attempt that failed, from 1."""
        super().__init__(str(error))
        self.code = error.code
        self.attempt = attempt


def fail_or_defer(error: Exception, attempt: Attempt, runtime: Runtime) -> tuple[Outcome, str]:
    """Return the failed outcome and the result for the circuit breaker.

    Raises DeferredError instead if the error is retryable and a retry is left.
    """
    final, reason = isinstance(error, PermanentError), _translated(error, runtime)
    if reason.code is ErrorCode.INTERNAL_ERROR:
        log.error("unexpected error", exc_info=error)
    delay = retry_delay(attempt.number - 1, runtime.config)
    if delay is not None and (not final or _may_succeed_elsewhere(reason, attempt)):
        job, lines = attempt.job, runtime.ledger.lines
        retry_until(
            attempt.deadline,
            lambda: lines.defer(
                job.batch, job.line, attempt.token, delay, reason.code, attempt.worker
            ),
        )
        raise DeferredError(reason, attempt.number) from error
    if final:
        return _failed(attempt, reason.code, reason.message, runtime), reason.code
    internal = reason.code is ErrorCode.INTERNAL_ERROR
    message = f"{attempt.number} attempts failed with {reason.code}: {reason.message}"
    code = ErrorCode.INTERNAL_ERROR if internal else ErrorCode.EXHAUSTED
    return _failed(attempt, code, message, runtime), reason.code


def _may_succeed_elsewhere(error: CutoutError, attempt: Attempt) -> bool:
    """Return whether another worker may succeed. Nobody waits longer for a cutout to find out."""
    waited_for = isinstance(attempt.job, ImageJob) and attempt.job.interactive
    if waited_for or error.code not in INFRASTRUCTURE_CODES:
        return False
    return attempt.number <= RETRIES_ELSEWHERE


def _translated(error: Exception, runtime: Runtime) -> CutoutError:
    """Return an error with a code. What has none itself may succeed if tried again."""
    match error:
        case CutoutError():
            return error
        case SoftTimeLimitExceeded():
            message = f"It took over {runtime.config.time_limit:g} s."
            return RetryableError(ErrorCode.TIME_LIMIT, message)
        case MemoryError():
            return RetryableError(ErrorCode.OUT_OF_MEMORY, "The machine's memory ran out.")
        case _:
            return RetryableError(ErrorCode.INTERNAL_ERROR, f"{type(error).__name__}.")


def _failed(attempt: Attempt, code: ErrorCode, message: str, runtime: Runtime) -> Outcome:
    """Return the outcome of a failed image, with what was made of it all the same."""
    errors = {name: _translated(e, runtime) for name, e in attempt.failures.items()}
    failed = [
        FailedRendition(name=name, code=error.code, message=error.message)
        for name, error in errors.items()
    ]
    return attempt.outcome(Status.FAILED, code=code, message=message, failed_renditions=failed)
