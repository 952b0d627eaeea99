"""How many requests this process has sent to S3, repeated ones included."""

import threading

_lock = threading.Lock()
_sent = 0


def count_request(**_: object) -> None:
    """Count one request: a handler of botocore's event `before-send`."""
    global _sent  # noqa: PLW0603 - one counter per process, like the client
    with _lock:  # parts of a large object are sent by threads
        _sent += 1


def requests_sent() -> int:
    """Return the number of requests since the process started."""
    return _sent
