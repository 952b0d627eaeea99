"""Lists the sources of batches that were created through the API, in threads beside the requests.

All servers of a cluster do so; each source is listed by one of them. If that one dies, another goes
on with its listing.
"""

import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from contract.batch import BatchSpec
from contract.errors import REDIS_CODES, CutoutError, ErrorCode
from contract.ledger import Ledger
from contract.ledger.unreadable import log_unreadable
from contract.stored import is_newer_release
from producer.batches.listing import list_source
from producer.batches.storage_retry import StoppedError

log = structlog.get_logger(__name__)

MAX_CONCURRENT = 2
"""Sources that one server lists at a time; each uses one CPU."""
POLL_SECONDS = 0.5
REDIS_BACKOFF_SECONDS = 2


def run(ledger: Ledger, stop: threading.Event) -> None:
    """List sources until `stop` is set. Another server goes on with unfinished ones."""
    running: dict[str, Future[None]] = {}
    left_alone: set[str] = set()
    with ThreadPoolExecutor(MAX_CONCURRENT, "listing") as pool:
        while not stop.is_set():
            running = {batch: task for batch, task in running.items() if not task.done()}
            pause = POLL_SECONDS
            try:
                for spec in _waiting(ledger, running.keys() | left_alone):
                    if len(running) == MAX_CONCURRENT:
                        break
                    token = secrets.token_hex(4)
                    if ledger.listings.acquire(spec.id, token):
                        running[spec.id] = pool.submit(_list, ledger, spec, token, stop, left_alone)
            except CutoutError as error:
                log.warning("listings wait for Redis", reason=str(error))
                pause = REDIS_BACKOFF_SECONDS
            stop.wait(pause)


def _waiting(ledger: Ledger, others: set[str]) -> list[BatchSpec]:
    """Return the batches whose source this server is to list. `others`: those that it is not to."""
    ids = [batch for batch in ledger.listings.ids() if batch not in others]
    specs = (progress.spec for progress in ledger.batches.progress_of(ids))
    return [spec for spec in specs if spec.background]


def _list(
    ledger: Ledger, spec: BatchSpec, token: str, stop: threading.Event, left_alone: set[str]
) -> None:
    """List a source; if that fails for good, the batch ends in the state `failed`.

    One that a newer release has begun is added to `left_alone`: a server of that release goes on.
    """
    try:
        complete = list_source(ledger, spec, token, stop.is_set)
        log.info("source listed", batch=spec.id, images=complete.total)
    except StoppedError:
        log.info("listing stopped", batch=spec.id)
    except Exception as error:
        if is_newer_release(error):
            log_unreadable(spec.id, error)
            left_alone.add(spec.id)
        else:
            _fail(ledger, spec, token, error)
    finally:
        try:
            ledger.listings.release(spec.id, token)
        except CutoutError:
            log.info("lease of a listing left to expire", batch=spec.id)


def _fail(ledger: Ledger, spec: BatchSpec, token: str, error: Exception) -> None:
    if not isinstance(error, CutoutError):
        log.error("unexpected error", batch=spec.id, exc_info=error)
        error = CutoutError(ErrorCode.INTERNAL_ERROR, f"{type(error).__name__}.")
    elif error.code in REDIS_CODES:
        log.warning("listing waits for Redis", batch=spec.id)
        return  # taken up again
    log.error("source not listed", batch=spec.id, reason=str(error))
    try:
        ledger.listings.fail(spec.id, str(error), token)
    except CutoutError as unrecorded:
        log.warning("failure not recorded", batch=spec.id, reason=str(unrecorded))
