"""Closes settled batches: report first, then the ledger, in a thread beside the dispatcher's loop.

A report of a million lines takes a quarter of a minute. Meanwhile the loop serves the other
batches. At most one dispatcher writes it, under a lease of its own. Closing is fenced: it happens
only if that lease is still held, no retry has reopened a line, and every outcome row is in the
report.

A report is not resumed: the next dispatcher starts it again from the outcome rows, all of which are
in object storage. That costs its duration once more, and nothing else.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import structlog

from contract.batch import BatchSpec, Progress
from contract.ledger import Ledger
from contract.ledger.records import SCRIPT_LINES
from contract.outcome import Status
from contract.storage import open_store
from producer.batches.drain import drain, restore_refused
from producer.batches.report import files
from producer.batches.report.rows import current
from producer.batches.report.summary import write_summary
from producer.batches.report.tally import Tally
from producer.dispatch.report_lease import LeaseLostError, ReportLease, report_lease

log = structlog.get_logger(__name__)


class BatchCloser:
    """Two threads, so a short report need not wait for a long one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._closing: dict[str, Future[None]] = {}
        self._thread = ThreadPoolExecutor(2, "close")

    def close(self, spec: BatchSpec) -> None:
        """Close a batch in the thread. Follow it with `is_closing`."""
        self._closing[spec.id] = self._thread.submit(self._close, spec)

    def is_closing(self, batch: str) -> bool:
        """Return whether a batch is being closed, or was when this was last called.

        Raises what closing it raised, once.
        """
        closing = self._closing.get(batch)
        if closing is None:
            return False
        if closing.done():
            del self._closing[batch]
            closing.result()
        return True

    def is_pending(self, batch: str) -> bool:
        """Return whether a batch is being closed."""
        return batch in self._closing

    def forget(self, batch: str) -> None:
        """Drop the result of closing a batch that is not open any more."""
        self._closing.pop(batch, None)

    def wait(self) -> None:
        """Wait until no batch is being closed. Raises what closing one raised."""
        for batch in list(self._closing):
            self._closing.pop(batch).result()

    def stop(self) -> None:
        """End the thread, after the report that is being written."""
        self._thread.shutdown(cancel_futures=True)

    def _close(self, spec: BatchSpec) -> None:
        """Write the report and close the batch, unless another dispatcher is doing so."""
        with report_lease(self._ledger, spec.id) as lease:
            if lease is None:
                return
            try:
                if self._report_and_close(spec, lease):
                    return
            except LeaseLostError:
                log.warning("another dispatcher may write the report", batch=spec.id)
        self._repair(spec)

    def _report_and_close(self, spec: BatchSpec, lease: ReportLease) -> bool:
        """Write the report and close the batch, unless it changes meanwhile or rows are missing.

        Returns False if the report was written of a batch that has changed.
        """
        while drain(self._ledger, spec):
            pass
        progress = self._ledger.batches.progress(spec.id)
        if progress.settled < spec.total or progress.state == "closed":
            return True  # a retry reopened lines, or another dispatcher closed it a moment ago
        closed = replace(progress, state="closed", closed=time.time(), issued=0, stalled_reason="")
        store = open_store(spec.destination)
        tally = files.write(closed, current(self._ledger, spec), store, lease.check)
        if not tally.complete:
            # lines that a retry has reopened since have no row either
            if self._ledger.batches.progress(spec.id).epoch == progress.epoch:
                self._recover_unreported(progress, tally)
            return True
        self._ledger.batches.set_stalled_reason(spec.id, "")
        if not self._ledger.batches.close(spec.id, progress.epoch, lease.token):
            log.info("batch changed while its report was written", batch=spec.id)
            write_summary(self._ledger.batches.progress(spec.id), store)
            return False
        log.info(
            "batch closed", batch=spec.id, done=progress.done, skipped=progress.skipped,
            failed=progress.failed,
        )  # fmt: skip
        return True

    def _repair(self, spec: BatchSpec) -> None:
        """Write the report of a batch that another closed: ours may lie over its files."""
        with report_lease(self._ledger, spec.id) as lease:
            progress = self._ledger.batches.progress(spec.id)
            if lease and progress.state == "closed":
                store = open_store(spec.destination)
                with suppress(LeaseLostError):
                    files.write(progress, current(self._ledger, spec), store, lease.check)

    def _recover_unreported(self, progress: Progress, tally: Tally) -> None:
        """Reopen settled lines whose outcome row was lost, as by a Redis that lost its last second.

        Workers that find the output of a line settle it without processing the image again. Lines
        that registration refused stay settled: their rows are stored again.
        """
        spec, epoch = progress.spec, progress.epoch
        log.error("outcomes are missing", batch=spec.id, lines=tally.missing_count)
        for _ in tally.watch(restore_refused(spec, tally.seen)):
            pass
        if tally.complete:
            return  # the next turn reports and closes the batch
        # the first call corrects the counters; until they are reopened, lines count as done
        done = tally.counts[Status.DONE] + tally.missing_count
        counts: dict[Status, int] | None = tally.counts | {Status.DONE: done}
        missing = tally.missing()
        while lines := list(islice(missing, SCRIPT_LINES)):
            if not self._ledger.batches.reopen_unreported(spec.id, epoch, counts, lines):
                return
            counts, epoch = None, epoch + 1
        reason = (
            f"The outcomes of {tally.missing_count:,} images were lost; they are checked again."
        )
        self._ledger.batches.set_stalled_reason(spec.id, reason)
