"""Checks a finished batch image by image, from what Redis and object storage hold.

Every manifest line must have exactly one terminal state; the counters must agree with the settled
bits, the outcomes and the report; and the output of every line that is done or skipped must exist,
be complete, and be made from the right photograph by the right recipe.
"""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from PIL import Image

from contract import names
from contract.batch import BatchSpec, Progress
from contract.errors import CutoutError
from contract.ledger import Ledger
from contract.line_bits import has_bit
from contract.outcome import Outcome, Status
from contract.rendition import PLAIN, Rendition
from contract.storage import Blob, batch_files, open_store
from worker.imaging.decode import displayed_size
from worker.imaging.formats import DECODER_ERRORS

OUTPUTS_PER_CHUNK = 1000
"""Outcomes collected before their outputs are checked in parallel."""
STATUS_BYTES = {Status.DONE: 1, Status.SKIPPED: 2, Status.FAILED: 3}
"""How a status is noted in `statuses`: one byte per line, 0 if it has no outcome."""


class Fault(StrEnum):
    """What can be wrong with a batch."""

    NOT_SETTLED = "not_settled"
    NO_OUTCOME = "no_outcome"
    UNLISTED_OUTCOME = "unlisted_outcome"
    WRONG_KEY = "wrong_key"
    BITS_DIFFER = "bits_differ"
    COUNTERS_DIFFER = "counters_differ"
    MANIFEST_DIFFERS = "manifest_differs"
    REPORT_DIFFERS = "report_differs"
    UNACKNOWLEDGED = "unacknowledged"
    OUTPUT_MISSING = "output_missing"
    OUTPUT_BROKEN = "output_broken"
    OUTPUT_SIZE = "output_size"
    OUTPUT_SOURCE = "output_source"
    OUTPUT_RECIPE = "output_recipe"


@dataclass(frozen=True, slots=True)
class Finding:
    fault: Fault
    message: str
    line: int | None = None
    """number of the manifest line, if the finding is about one"""

    def __str__(self) -> str:
        line = "" if self.line is None else f" line {self.line}:"
        return f"{self.fault}:{line} {self.message}"


def audit(ledger: Ledger, batch: str) -> Iterator[Finding]:
    """Yield everything that is wrong with a batch. Raises PermanentError (`batch_unknown`).

    Reads every output, and the header of every photograph. Needs about 300 bytes of memory per
    image, for the report.
    """
    progress = ledger.batches.progress(batch)
    spec, bits = progress.spec, ledger.batches.settled_bits(batch)
    undrained = [row for _, row in ledger.lines.outcomes(batch, spec.total + 1)]
    statuses = bytearray(spec.total)
    if broken := _check_manifest(spec):
        yield broken  # without the manifest, nothing else can be checked
        return
    yield from _check_outcomes(spec, undrained, statuses)
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
        lines = sum(len(batch_files.manifest_lines(spec, n)) for n in range(spec.segments))
    except (CutoutError, ValueError) as error:
        message = f"A segment of the manifest cannot be read ({error})."
        return Finding(Fault.MANIFEST_DIFFERS, message)
    if lines != spec.total:
        message = f"The manifest has {lines:,} lines instead of {spec.total:,}."
        return Finding(Fault.MANIFEST_DIFFERS, message)
    return None


def _check_outcomes(
    spec: BatchSpec, undrained: list[str], statuses: bytearray
) -> Iterator[Finding]:
    """Check each line's last outcome and its output; note its status in `statuses`."""
    segment = lru_cache(maxsize=16)(batch_files.manifest_lines)
    with_output, unlisted = [], 0
    for outcome in batch_files.rows(open_store(spec.destination), spec.id, undrained):
        number, offset = divmod(outcome.line, spec.segment_lines)
        if outcome.line >= spec.total:
            unlisted += 1
        elif not statuses[outcome.line]:  # newest first; older ones were superseded by a retry
            statuses[outcome.line] = STATUS_BYTES[outcome.status]
            key = segment(spec, number)[offset].key
            if outcome.key != key:
                message = f"The outcome of {key!r} names {outcome.key!r}."
                yield Finding(Fault.WRONG_KEY, message, outcome.line)
            if outcome.status is not Status.FAILED:
                with_output.append(outcome)
            if len(with_output) == OUTPUTS_PER_CHUNK:
                yield from _check_outputs(spec, with_output)
                with_output.clear()
    yield from _check_outputs(spec, with_output)
    if unlisted:
        message = f"{unlisted:,} outcomes have line numbers beyond the manifest."
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
        body = open_store(spec.destination).get(names.report_key(spec.id, "jsonl")).data
        for row in io.BytesIO(body):
            outcome = Outcome.model_validate_json(row)
            reported[outcome.line] = STATUS_BYTES[outcome.status]
            rows += 1
    except (CutoutError, ValueError, IndexError) as error:
        yield Finding(Fault.REPORT_DIFFERS, f"The report cannot be read ({error}).")
        return
    if reported != statuses or rows != spec.total:
        wrong = sum(a != b for a, b in zip(reported, statuses, strict=True))
        yield Finding(
            Fault.REPORT_DIFFERS,
            f"The report has {rows:,} rows for {spec.total:,} lines; {wrong:,} lines have another"
            " status in it.",
        )


def _check_outputs(spec: BatchSpec, outcomes: list[Outcome]) -> Iterator[Finding]:
    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as pool:  # they mostly wait for storage
        for findings in pool.map(lambda outcome: _check_output(spec, outcome), outcomes):
            yield from findings


def _check_output(spec: BatchSpec, outcome: Outcome) -> list[Finding]:
    rendition = spec.recipe.rendition
    key = names.output_key(outcome.key, rendition.suffix)
    store = open_store(spec.destination)
    head = store.head(key)
    if head is None:
        message = f"The output {key!r} does not exist."
        return [Finding(Fault.OUTPUT_MISSING, message, outcome.line)]
    findings = []
    for fault, name, expected in (
        (Fault.OUTPUT_SOURCE, "source-etag", outcome.source_etag),
        (Fault.OUTPUT_RECIPE, "recipe", spec.recipe.digest),
    ):
        actual = head.metadata.get(name)
        if actual != expected:
            writer = head.metadata.get("batch", "another program")
            message = f"{key!r} has the {name} {actual}, not {expected}; {writer} wrote it."
            findings.append(Finding(fault, message, outcome.line))
    try:
        size = _decoded_size(store.get(key), rendition)
    except DECODER_ERRORS as error:
        message = f"{key!r} cannot be decoded ({type(error).__name__}: {error})."
        return [*findings, Finding(Fault.OUTPUT_BROKEN, message, outcome.line)]
    expected_size = _expected_size(spec, outcome)
    if expected_size and size != expected_size:
        message = "{!r} has {}x{} pixels, not {}x{}.".format(key, *size, *expected_size)
        findings.append(Finding(Fault.OUTPUT_SIZE, message, outcome.line))
    return findings


def _decoded_size(blob: Blob, rendition: Rendition) -> tuple[int, int]:
    """Return (width, height) of an output after decoding all its pixels.

    Raises ValueError if it has another mode than the rendition, or what Pillow raises.
    """
    formats = ["JPEG" if rendition.format == "jpg" else "PNG"]
    mode = {"jpg": "RGB", "png": "L" if rendition.channels == "alpha" else "RGBA"}[rendition.format]
    with Image.open(io.BytesIO(blob.data), formats=formats) as image:
        image.verify()  # all checksums of a PNG; `load` stops after the last pixel
    with Image.open(io.BytesIO(blob.data), formats=formats) as image:
        image.load()
        if image.mode != mode:
            raise ValueError(f"its mode is {image.mode}, not {mode}")
        return image.size


def _expected_size(spec: BatchSpec, outcome: Outcome) -> tuple[int, int] | None:
    """Return the (width, height) that an output must have, or None if that is not known.

    A plain output has the size of its photograph. If the photograph is gone or changed, and for
    other renditions, this is the size in the outcome.
    """
    if spec.recipe.rendition == PLAIN:
        with suppress(CutoutError):
            blob = open_store(spec.source).get(outcome.key)
            if blob.etag == outcome.source_etag:
                return displayed_size(blob.data)
    return (outcome.width, outcome.height) if outcome.width and outcome.height else None
