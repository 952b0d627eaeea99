"""What an attempt uses: CPU time, requests and bytes."""

import time
from dataclasses import dataclass, field

from contract.counters import counters
from contract.errors import ErrorCode
from contract.metrics import (
    WORKER_CPU,
    WORKER_DEFERRED,
    WORKER_IMAGES,
    WORKER_MEGAPIXELS,
)
from contract.outcome import Outcome
from contract.storage.request_count import requests_sent


@dataclass
class Usage:
    """From its creation on, of this process: a child processes one image at a time."""

    bytes_read: int = 0
    """of the photograph, its background image and its kept matte"""
    _cpu: float = field(default_factory=time.process_time)
    _requests: int = field(default_factory=requests_sent)

    def fields(self) -> dict[str, int]:
        """Return the fields of an Outcome that say what was used until now."""
        return {
            "cpu_ms": round((time.process_time() - self._cpu) * 1000),
            "s3_requests": requests_sent() - self._requests,
            "bytes_read": self.bytes_read,
        }


def count_outcome(model: str, outcome: Outcome) -> None:
    """Count a settled image for the worker's metrics."""
    counters.add(WORKER_IMAGES, model, outcome.status, outcome.code or "")
    pixels = sum((one.width or 0) * (one.height or 0) for one in outcome.outputs)
    counters.add(WORKER_MEGAPIXELS, model, outcome.status, amount=pixels / 1e6)
    counters.add(WORKER_CPU, model, amount=outcome.cpu_ms / 1000)


def count_deferred(model: str, code: ErrorCode) -> None:
    """Count an attempt whose image waits for a retry."""
    counters.add(WORKER_DEFERRED, model, code)
