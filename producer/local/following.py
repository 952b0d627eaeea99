"""Shows a batch's progress until the batch is closed."""

import time
from collections.abc import Callable
from contextlib import closing, suppress

from rich.console import Console

from contract.batch import Progress
from contract.errors import ErrorCode, PermanentError, RetryableError
from contract.ledger.redis_ledger import RedisLedger
from producer.batches.missing_dispatcher import with_missing_dispatcher
from producer.local.progress_bar import ProgressDisplay

POLL_SECONDS = 0.25
START_SECONDS = 10
"""Seconds for which `cutout run` starts its own dispatcher, and none is reported as missing."""


def follow(
    ledger: RedisLedger,
    batch: str,
    *,
    as_json: bool,
    check: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Show a batch's progress until it is closed, and return its last state.

    Raises PermanentError (`listing_failed`) if its source could not be listed.

    `check` is called with each state, and may raise to stop following. While Redis is unavailable,
    the last known state stays on display.
    """
    with closing(ProgressDisplay(Console(stderr=True, quiet=as_json))) as display:
        progress = ledger.batches.progress(batch)
        started = time.monotonic() + START_SECONDS
        while True:
            display.show(progress)
            if progress.state == "closed":
                return progress
            if progress.state == "failed":
                raise PermanentError(ErrorCode.LISTING_FAILED, progress.stalled_reason)
            check(progress)
            time.sleep(POLL_SECONDS)
            with suppress(RetryableError):
                progress = ledger.batches.progress(batch)
                if time.monotonic() >= started:
                    [progress] = with_missing_dispatcher(ledger, [progress])
