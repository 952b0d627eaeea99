"""Takes lines from the ledger and publishes them: the next ones of a batch, and those to repeat."""

from functools import lru_cache, partial

import structlog

from contract.batch import BatchSpec
from contract.counters import counters
from contract.errors import CutoutError, ErrorCode
from contract.job import ManifestLine
from contract.ledger import Issued, Ledger
from contract.ledger.records import SCRIPT_LINES
from contract.metrics import LINES_REPUBLISHED
from contract.outcome import Outcome, Status
from contract.settings import Settings
from contract.storage.batch_files import segment_at, stored_line
from producer.dispatch.publisher import CLAIM_GRACE_SECONDS, publish_issued

log = structlog.get_logger(__name__)

CHUNKS_PER_TICK = 2
"""Chunks of SCRIPT_LINES issued and published per tick. A tick costs a round trip per open batch:
with fewer chunks, many batches would slow down each."""
CANCELLED = "The batch was cancelled before this image was processed."


class LinePublisher:
    """Keeps the segments of manifests that it read last."""

    def __init__(self, ledger: Ledger, config: Settings) -> None:
        self._ledger = ledger
        self._config = config
        self._cancelled: dict[str, int] = {}
        """batch that is being cancelled -> the line to look at next"""
        self._unpublished: dict[str, Issued] = {}
        """lines that were issued, and not published as their manifest could not be read"""
        self._segment_at = lru_cache(maxsize=16)(segment_at)

    def publish_next(self, spec: BatchSpec, window: int) -> bool:
        """Publish the next chunks; return True if there may be room for another."""
        timeout, limit = self._config.visibility_timeout, self._config.window
        for _ in range(CHUNKS_PER_TICK):
            issued = self._ledger.lines.issue(
                spec.id, SCRIPT_LINES, window, timeout, max_outstanding=limit
            )
            self._publish(spec, issued)
            if not issued.more:
                return False
        return True

    def publish_left(self, spec: BatchSpec) -> None:
        """Publish what an earlier step issued and could not publish, instead of once it is overdue.

        Another dispatcher may have done so meanwhile; a line that is published twice runs once.
        """
        if issued := self._unpublished.pop(spec.id, None):
            self._publish(spec, issued)

    def republish(self, spec: BatchSpec, oldest_queued: tuple[str, str], window: int) -> bool:
        """Publish lines whose message was lost, whose worker died, or whose retry is due.

        Returns True if there may be more of them.

        A message is lost if its line is overdue and it was issued before the oldest one queued.
        (With Redis as broker, a worker killed between receiving a message and storing it as
        unacknowledged loses it; the broker alone cannot promise delivery.)
        """
        issued = self._ledger.lines.reissue(
            spec.id, SCRIPT_LINES, self._config.visibility_timeout, CLAIM_GRACE_SECONDS,
            oldest_queued, window,
        )  # fmt: skip
        self._publish(spec, issued)
        if lines := len(issued.bulk) + len(issued.quarantine):
            counters.add(LINES_REPUBLISHED, amount=lines)
            log.info("lines republished", batch=spec.id, lines=lines)
        return issued.more

    def settle_cancelled(self, spec: BatchSpec) -> bool:
        """Settle the next lines of a cancelled batch; return True if there may be more.

        Other batches wait about 10 ms for them.

        Lines being processed are left to their workers, until their leases end.
        """
        start = self._cancelled.get(spec.id, 0)
        found = self._ledger.lines.unclaimed(spec.id, start, SCRIPT_LINES)
        outcomes = [
            Outcome(
                line=line, key=self._photograph(spec, line).key, status=Status.FAILED,
                code=ErrorCode.CANCELLED, message=CANCELLED, attempts=attempts,
            )
            for line, attempts in found.attempts.items()
        ]  # fmt: skip
        # a retry may have reopened the batch since its state was read
        self._ledger.lines.finish_all(spec.id, outcomes, state="cancelling")
        more = found.following < spec.total
        self._cancelled[spec.id] = found.following if more else 0
        return more

    def forget(self, batch: str) -> None:
        """Drop what is kept of a batch that is not open any more."""
        self._cancelled.pop(batch, None)
        self._unpublished.pop(batch, None)

    def _publish(self, spec: BatchSpec, issued: Issued) -> None:
        try:
            publish_issued(spec, issued, partial(self._photograph, spec))
        except CutoutError:
            self._unpublished[spec.id] = issued
            raise

    def _photograph(self, spec: BatchSpec, line: int) -> ManifestLine:
        segment, offset = divmod(line, spec.segment_lines)
        lines = self._segment_at(spec.destination, spec.manifest_key(segment))
        return stored_line(spec.id, lines[offset])
