"""Checks a finished batch image by image, from what Redis and object storage hold.

Every manifest line must have exactly one terminal state; the counters must agree with the settled
bits, the outcomes and the report; and the outputs of every line that is done or skipped, one for
each rendition, must exist, be complete, and be made from the right photograph by the right recipe.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from random import random

from contract import names
from contract.batch import BatchSpec, Progress
from contract.errors import CutoutError
from contract.ledger import Ledger
from contract.ledger.undrained import undrained
from contract.line_bits import has_bit
from contract.outcome import Outcome, Status, stored_outcome
from contract.storage import batch_files, open_store, outcome_files
from contract.storage.json_lines import stream_lines
from contract.stored import is_newer_release
from worker.audit.findings import Fault, Finding
from worker.audit.outputs import check_outputs

OUTPUTS_PER_CHUNK = 1000
"""Outcomes collected before their outputs are checked in parallel."""
STATUS_BYTES = {Status.DONE: 1, Status.SKIPPED: 2, Status.FAILED: 3}
"""How a status is noted in `statuses`: one byte per line, 0 if it has no outcome."""


def audit(ledger: Ledger, batch: str, share: float = 1) -> Iterator[Finding]:
    """Yield everything that is wrong with a batch.

    Raises PermanentError (`batch_unknown`, `newer_release`).

    Reads the outputs, and the headers of their photographs: of a random `share` (0..1) of the
    images. Everything else is checked of all images. Needs two bytes of memory per image.
    """
    progress = ledger.batches.progress(batch)
    spec, bits = progress.spec, ledger.batches.settled_bits(batch)
    statuses = bytearray(spec.total)
    if broken := _check_manifest(spec):
        yield broken  # without the manifest, nothing else can be checked
        return
    yield from _check_outcomes(ledger, spec, bits, share, statuses)
    yield from _check_counters(progress, bits, statuses)
    yield from _check_lines(progress, bits, statuses)
    if progress.state == "closed":
        yield from _check_report(spec, statuses)
    for task in ledger.lines.unacknowledged():
        if task.startswith(f"{batch}."):
            message = f"A worker received the message {task} and has not acknowledged it."
            yield Finding(Fault.UNACKNOWLEDGED, message)


def _check_manifest(spec: BatchSpec) -> Finding | None:
    try:
        lines = sum(1 for n in range(spec.segments) for _ in batch_files.manifest_lines(spec, n))
    except (CutoutError, ValueError) as error:
        if is_newer_release(error):
            raise
        message = f"A segment of the manifest cannot be read ({error})."
        return Finding(Fault.MANIFEST_DIFFERS, message)
    if lines != spec.total:
        message = f"The manifest has {lines:,} lines instead of {spec.total:,}."
        return Finding(Fault.MANIFEST_DIFFERS, message)
    return None


class _StoredRows:
    """Every outcome row of a batch, and how many name no line of it."""

    def __init__(self, ledger: Ledger, spec: BatchSpec) -> None:
        self._ledger = ledger
        self._spec = spec
        self.unlisted = 0

    def __iter__(self) -> Iterator[Outcome]:
        waiting = undrained(self._ledger.lines, self._spec.id)
        yield from self._listed(stored_outcome(self._spec.id, row.json) for row in waiting)
        yield from self._listed(
            outcome_files.rows(open_store(self._spec.destination), self._spec.id)
        )

    def _listed(self, rows: Iterable[Outcome]) -> Iterator[Outcome]:
        for row in rows:
            if row.line < self._spec.total:
                yield row
            else:
                self.unlisted += 1


def _check_outcomes(
    ledger: Ledger, spec: BatchSpec, settled: bytes, share: float, statuses: bytearray
) -> Iterator[Finding]:
    """Check each line's present outcome and its output; note its status in `statuses`."""
    segment = lru_cache(maxsize=4)(batch_files.segment_at)
    rows, with_output = _StoredRows(ledger, spec), list[Outcome]()
    agreeing = outcome_files.agreeing(rows, settled, ledger.batches.failed_bits(spec.id))
    for outcome in outcome_files.latest(agreeing, spec.total):
        statuses[outcome.line] = STATUS_BYTES[outcome.status]
        number, offset = divmod(outcome.line, spec.segment_lines)
        lines = segment(spec.destination, spec.manifest_key(number))
        listed = batch_files.stored_line(spec.id, lines[offset])
        if outcome.key != listed.key:
            message = f"The outcome of {listed.key!r} names {outcome.key!r}."
            yield Finding(Fault.WRONG_KEY, message, outcome.line)
        wrote = outcome.status is not Status.FAILED or outcome.outputs
        if wrote and random() < share:  # noqa: S311 - no secret
            source_etag = outcome.source_etag or listed.etag
            with_output.append(outcome.model_copy(update={"source_etag": source_etag}))
        if len(with_output) == OUTPUTS_PER_CHUNK:
            yield from check_outputs(spec, with_output)
            with_output.clear()
    yield from check_outputs(spec, with_output)
    if rows.unlisted:
        message = f"{rows.unlisted:,} outcomes have line numbers beyond the manifest."
        yield Finding(Fault.UNLISTED_OUTCOME, message)


def _check_counters(progress: Progress, bits: bytes, statuses: bytearray) -> Iterator[Finding]:
    for status, count in (
        (Status.DONE, progress.done),
        (Status.SKIPPED, progress.skipped),
        (Status.FAILED, progress.failed),
    ):
        outcomes = statuses.count(STATUS_BYTES[status])
        if outcomes != count:
            message = f"{count:,} lines are counted as {status}, but {outcomes:,} have ended so."
            yield Finding(Fault.COUNTERS_DIFFER, message)
    ones = sum(byte.bit_count() for byte in bits)
    if ones != progress.settled:
        message = f"{ones:,} lines are marked as settled, but {progress.settled:,} are counted."
        yield Finding(Fault.BITS_DIFFER, message)
    if progress.settled != progress.spec.total or progress.state != "closed":
        message = (
            f"{progress.settled:,} of {progress.spec.total:,} lines are settled;"
            f" the batch is {progress.state}."
        )
        yield Finding(Fault.NOT_SETTLED, message)


def _check_lines(progress: Progress, bits: bytes, statuses: bytearray) -> Iterator[Finding]:
    for line, status in enumerate(statuses):
        bit = has_bit(bits, line)
        if bit and not status:
            yield Finding(Fault.NO_OUTCOME, "The line is settled but has no outcome.", line)
        if not bit and progress.state == "closed":
            message = "The batch is closed, but the line is not settled."
            yield Finding(Fault.NOT_SETTLED, message, line)


def _check_report(spec: BatchSpec, statuses: bytearray) -> Iterator[Finding]:
    reported, rows = bytearray(spec.total), 0
    try:
        key = names.report_key(spec.id, "jsonl.gz")
        for row in stream_lines(open_store(spec.destination), key):
            outcome = stored_outcome(spec.id, row)
            reported[outcome.line] = STATUS_BYTES[outcome.status]
            rows += 1
    except (CutoutError, ValueError, IndexError) as error:
        if is_newer_release(error):
            raise
        yield Finding(Fault.REPORT_DIFFERS, f"The report cannot be read ({error}).")
        return
    if reported != statuses or rows != spec.total:
        wrong = sum(a != b for a, b in zip(reported, statuses, strict=True))
        yield Finding(
            Fault.REPORT_DIFFERS,
            f"The report has {rows:,} rows for {spec.total:,} lines; {wrong:,} lines have another"
            " status in it.",
        )
