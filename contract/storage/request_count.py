"""How many requests this process has sent to S3, repeated ones included."""

import threading
from typing import Any

from contract.counters import counters
from contract.metrics import S3_REQUESTS

_lock = threading.Lock()
_sent = 0


def count_request(**_: object) -> None:
    """Count one request: a handler of botocore's event `before-send`."""
    global _sent  # noqa: PLW0603 - one counter per process, like the client
    with _lock:  # parts of a large object are sent by threads
        _sent += 1


def count_response(
    event_name: str, response_dict: dict[str, Any] | None = None, **_: object
) -> None:
    """Count how one request was answered: a handler of botocore's event `response-received`."""
    operation = event_name.rpartition(".")[2]
    status = str(response_dict["status_code"]) if response_dict else "error"
    counters.add(S3_REQUESTS, operation, status)


def requests_sent() -> int:
    """Return the number of requests since the process started."""
    return _sent
