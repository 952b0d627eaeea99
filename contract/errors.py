"""Our exceptions: a sentence under a stable code. `error_codes.py` lists the codes.

A `RetryableError` is retried by the queue; a `PermanentError` is final for that image or command.
A process that dies raises nothing: the ledger counts it (see `Lines.record_crash`).
"""

from contract.error_codes import ErrorCode
from contract.error_texts import IMAGE_CODES, INFRASTRUCTURE_CODES, NEXT_STEP, REDIS_CODES

__all__ = [
    "IMAGE_CODES",
    "INFRASTRUCTURE_CODES",
    "NEXT_STEP",
    "REDIS_CODES",
    "CutoutError",
    "ErrorCode",
    "PermanentError",
    "RetryableError",
]


class CutoutError(Exception):
    """What happened, as one sentence for the user, and a stable code that implies the next step."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message)  # both, so that it survives pickling between processes
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message} {NEXT_STEP[self.code]}"


class RetryableError(CutoutError):
    """May succeed if tried again: storage, network, memory, time."""


class PermanentError(CutoutError):
    """The same input fails again in the same way."""
