"""Writes an output, unless a newer one has been written since this attempt began."""

import time
from collections.abc import Callable

from contract.errors import ErrorCode, RetryableError
from contract.job import ImageJob
from contract.storage import open_store


class ClaimLostError(Exception):
    """The process was frozen for so long that another attempt has taken the line over."""


class ClaimTimer:
    """Notices that an attempt takes so long that its claim may have ended. Start it before."""

    def __init__(self, lease: float, renew: Callable[[], bool]) -> None:
        """`lease`: seconds of the claim. `renew`: extends it; returns False if it was lost."""
        self._lease = lease
        self._renew = renew
        # of a machine that was suspended, only the wall clock went on
        self._started = (time.monotonic(), time.time())

    def check(self) -> None:
        """Raise ClaimLostError if another attempt has the line. Asks only if that is possible."""
        monotonic, wall = self._started
        elapsed = max(time.monotonic() - monotonic, time.time() - wall)
        if elapsed > self._lease / 2 and not self._renew():
            raise ClaimLostError


def store_output(
    job: ImageJob, key: str, content_type: str, data: bytes, metadata: dict[str, str], etag: str
) -> None:
    """Write an output over the one with this ETag; "": over none.

    Raises RetryableError (`object_changed`) if another writer was faster. If it made the same
    output of the same bytes for the same batch, the output is left as it is: most likely it is this
    attempt's own, and the storage's first answer was lost.
    """
    store = open_store(job.destination)
    try:
        store.put_unless_changed(key, data, content_type, metadata, etag)
    except RetryableError as error:
        head = store.head(key) if error.code is ErrorCode.OBJECT_CHANGED else None
        if head is None or any(head.metadata.get(name) != metadata[name] for name in metadata):
            raise
