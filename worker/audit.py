"""Checks the promise of a batch, image by image, from what lies in Redis and in object storage.

Every manifest line has exactly one terminal state, the counters say the same as the bits and the
report, and the output of every line that claims one is there, whole, and made of the right bytes.
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
from contract.outcome import Outcome, Status
from contract.rendition import PLAIN, Rendition
from contract.storage import Blob, batch_files, open_store
from worker.imaging.decode import displayed_size
from worker.imaging.formats import DECODER_ERRORS

CHECKED_AT_ONCE = 1000
ENDS = {Status.DONE: 1, Status.SKIPPED: 2, Status.FAILED: 3}


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

    def __str__(self) -> str:
        where = "" if self.line is None else f" line {self.line}:"
        return f"{self.fault}:{where} {self.message}"


def audit(ledger: Ledger, batch: str) -> Iterator[Finding]:
    """Yield what is wrong with a batch. Raises PermanentError (`batch_unknown`).

    Reads every output, and every photograph for its size: allow it the time of that. In memory it
    holds the report, some 300 bytes an image.
    """
    now = ledger.batches.progress(batch)
    bits = ledger.batches.settled_bits(batch)
    undrained = [row for _, row in ledger.lines.outcomes(batch, now.spec.total + 1)]
    ends = bytearray(now.spec.total)
    if broken := _manifest(now.spec):
        yield broken  # and no line can be told from another
        return
    yield from _outcomes(now.spec, undrained, ends)
    yield from _counts(now, bits, ends)
    yield from _lines(now, bits, ends)
    if now.state == "closed":
        yield from _report(now.spec, ends)
    for task in ledger.lines.unacknowledged():
        if task.startswith(f"{batch}."):
            yield Finding(Fault.UNACKNOWLEDGED, f"A worker holds the message {task}.")


def _manifest(spec: BatchSpec) -> Finding | None:
    try:
        lines = sum(len(batch_files.manifest_lines(spec, n)) for n in range(spec.segments))
    except (CutoutError, ValueError) as error:
        return Finding(Fault.MANIFEST_DIFFERS, f"A segment cannot be read ({error}).")
    if lines != spec.total:
        return Finding(Fault.MANIFEST_DIFFERS, f"It has {lines:,} lines, not {spec.total:,}.")
    return None


def _outcomes(spec: BatchSpec, undrained: list[str], ends: bytearray) -> Iterator[Finding]:
    """Check every line's last outcome, and note in `ends` which status that is."""
    segment = lru_cache(maxsize=16)(batch_files.manifest_lines)
    claims, unlisted = [], 0
    for outcome in batch_files.rows(open_store(spec.destination), spec.id, undrained):
        number, offset = divmod(outcome.line, spec.segment_lines)
        if outcome.line >= spec.total:
            unlisted += 1
        elif not ends[outcome.line]:  # the latest comes first; the others are history
            ends[outcome.line] = ENDS[outcome.status]
            key = segment(spec, number)[offset].key
            if outcome.key != key:
                why = f"{key!r} is reported as {outcome.key!r}."
                yield Finding(Fault.WRONG_KEY, why, outcome.line)
            if outcome.status is not Status.FAILED:
                claims.append(outcome)
            if len(claims) == CHECKED_AT_ONCE:
                yield from _outputs(spec, claims)
                claims.clear()
    yield from _outputs(spec, claims)
    if unlisted:
        yield Finding(Fault.UNLISTED_OUTCOME, f"{unlisted} outcomes are of no line there is.")


def _counts(now: Progress, bits: bytes, ends: bytearray) -> Iterator[Finding]:
    for status, count in (
        (Status.DONE, now.done), (Status.SKIPPED, now.skipped), (Status.FAILED, now.failed),
    ):  # fmt: skip
        if (rows := ends.count(ENDS[status])) != count:
            yield Finding(
                Fault.COUNTERS_DIFFER, f"{count:,} lines count as {status}, {rows:,} ended so."
            )
    ones = sum(byte.bit_count() for byte in bits)
    if ones != now.settled:
        yield Finding(
            Fault.BITS_DIFFER, f"{ones:,} bits are set and {now.settled:,} lines are counted."
        )
    if now.settled != now.spec.total or now.state != "closed":
        yield Finding(
            Fault.NOT_SETTLED,
            f"{now.settled:,} of {now.spec.total:,} lines are settled; the batch is {now.state}.",
        )


def _lines(now: Progress, bits: bytes, ends: bytearray) -> Iterator[Finding]:
    for line, end in enumerate(ends):
        bit = batch_files.has_bit(bits, line)
        if bit and not end:
            yield Finding(Fault.NO_OUTCOME, "It is settled and nothing says how.", line)
        if not bit and now.state == "closed":
            yield Finding(Fault.NOT_SETTLED, "It has no terminal state.", line)


def _report(spec: BatchSpec, ends: bytearray) -> Iterator[Finding]:
    reported, rows = bytearray(spec.total), 0
    try:
        body = open_store(spec.destination).get(names.report_key(spec.id, "jsonl")).data
        for row in io.BytesIO(body):
            outcome = Outcome.model_validate_json(row)
            reported[outcome.line] = ENDS[outcome.status]
            rows += 1
    except (CutoutError, ValueError, IndexError) as error:
        yield Finding(Fault.REPORT_DIFFERS, f"It cannot be read ({error}).")
        return
    if reported != ends or rows != spec.total:
        wrong = sum(a != b for a, b in zip(reported, ends, strict=True))
        yield Finding(
            Fault.REPORT_DIFFERS,
            f"It has {rows:,} rows for {spec.total:,} lines; {wrong:,} tell another end.",
        )


def _outputs(spec: BatchSpec, outcomes: list[Outcome]) -> Iterator[Finding]:
    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as pool:  # most of it is waiting
        for findings in pool.map(lambda outcome: _output(spec, outcome), outcomes):
            yield from findings


def _output(spec: BatchSpec, outcome: Outcome) -> list[Finding]:
    """Check that an output is there, whole, of its mode and size, made as it should."""
    rendition = spec.recipe.rendition
    key = names.output_key(outcome.key, rendition.suffix)
    store = open_store(spec.destination)
    head = store.head(key)
    if head is None:
        return [Finding(Fault.OUTPUT_MISSING, f"There is no {key!r}.", outcome.line)]
    found = []
    for fault, mark, expected in (
        (Fault.OUTPUT_SOURCE, "source-etag", outcome.source_etag),
        (Fault.OUTPUT_RECIPE, "recipe", spec.recipe.digest),
    ):
        marked = head.metadata.get(mark)
        if marked != expected:
            by = head.metadata.get("batch", "another program")
            sentence = f"{key!r} has the {mark} {marked}, not {expected}; it was written by {by}."
            found.append(Finding(fault, sentence, outcome.line))
    try:
        size = _decoded_size(store.get(key), rendition)
    except DECODER_ERRORS as error:
        why = f"{key!r} cannot be decoded ({type(error).__name__}: {error})."
        return [*found, Finding(Fault.OUTPUT_BROKEN, why, outcome.line)]
    expected_size = _expected_size(spec, outcome)
    if expected_size and size != expected_size:
        why = f"{key!r} has the size {size}, not {expected_size}."
        found.append(Finding(Fault.OUTPUT_SIZE, why, outcome.line))
    return found


def _decoded_size(blob: Blob, rendition: Rendition) -> tuple[int, int]:
    """Return (width, height) of a file whose every pixel was decoded. Raises what Pillow raises."""
    formats = ["JPEG" if rendition.format == "jpg" else "PNG"]
    mode = {"jpg": "RGB", "png": "L" if rendition.channels == "alpha" else "RGBA"}[rendition.format]
    with Image.open(io.BytesIO(blob.data), formats=formats) as image:
        image.verify()  # every checksum, to the last chunk: `load` stops where the pixels do
    with Image.open(io.BytesIO(blob.data), formats=formats) as image:
        image.load()
        if image.mode != mode:
            raise ValueError(f"its mode is {image.mode}")
        return image.size


def _expected_size(spec: BatchSpec, outcome: Outcome) -> tuple[int, int] | None:
    """Return the photograph's size, or what was reported of it where that is not to be had.

    A rendition has a size of its own, which is reported.
    """
    if spec.recipe.rendition == PLAIN:
        with suppress(CutoutError):
            blob = open_store(spec.source).get(outcome.key)
            if blob.etag == outcome.source_etag:
                return displayed_size(blob.data)
    return (outcome.width, outcome.height) if outcome.width and outcome.height else None
