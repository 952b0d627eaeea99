"""Batches of any size without photographs: manifest, outcome rows and ledger, as after a run."""

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from contract.batch import BatchSpec
from contract.errors import ErrorCode
from contract.job import ManifestLine
from contract.ledger import Ledger
from contract.outcome import Outcome, OutcomeRow, Output, Status
from contract.recipe import Recipe
from contract.storage import batch_files, open_store
from contract.storage.outcome_files import write_segments

SEGMENT = 10_000
STAGES = ("check", "fetch", "wait", "decode", "matte", "encode", "store")


def key(line: int) -> str:
    return f"catalogue/spring/shelf-{line // 500:05d}/article-{line:08d}-front.jpg"


def etag(line: int) -> str:
    return hashlib.md5(str(line).encode(), usedforsecurity=False).hexdigest()


def outcome(line: int, status: Status, seeded: random.Random) -> Outcome:
    """Return an outcome with the fields and the randomness of a real one."""
    if status is Status.FAILED:
        message = "The file ends after 35,841 of 120,332 bytes."
        return Outcome(
            line=line, key=key(line), status=status, code=ErrorCode.TRUNCATED_IMAGE, message=message
        )
    return Outcome(
        line=line, key=key(line), status=status,
        milliseconds={stage: seeded.randrange(5, 400) for stage in STAGES},
        foreground=round(seeded.random(), 4),
        outputs=[
            Output(
                key=key(line).replace(".jpg", ".png"), width=seeded.randrange(1000, 2000),
                height=seeded.randrange(1000, 2000), bytes=seeded.randrange(10**5, 10**6),
            )
        ],
    )  # fmt: skip


def generate(
    ledger: Ledger, folder: Path, total: int, status: Status | None, number: int = 0
) -> BatchSpec:
    """Write a batch's files and its ledger, and open it.

    `status`: that of all lines; None: no line is settled.
    """
    spec = BatchSpec(
        id=f"b-20260101-000000-{number:06x}", source=f"file://{folder}/in",
        destination=f"file://{folder}/out", recipe=Recipe(model="u2netp"), created=time.time(),
        total=total, segment_lines=SEGMENT,
    )  # fmt: skip
    store, seeded = open_store(spec.destination), random.Random(total)
    batch_files.write_spec(spec)
    for first in range(0, total, SEGMENT):
        lines = range(first, min(first + SEGMENT, total))
        manifest = [
            ManifestLine(key=key(n), size=seeded.randrange(10**5, 10**7), etag=etag(n))
            for n in lines
        ]
        batch_files.write_manifest_segment(
            store, spec.id, first // SEGMENT, [row.model_dump_json() for row in manifest]
        )
        if status:
            rows = [
                outcome(n, status, seeded).model_dump_json(exclude_defaults=True) for n in lines
            ]
            write_segments(
                store, spec.id, [OutcomeRow(f"1-{n}", 0, row) for n, row in enumerate(rows, first)]
            )
    bits = b"\xff" * (total // 8) + bytes([0xFF00 >> total % 8 & 0xFF])
    counts = dict.fromkeys(Status, 0) | ({status: total} if status else {})
    ledger.batches.restore(
        spec, bits if status else b"", bits if status is Status.FAILED else b"", counts
    )
    ledger.batches.open(spec.id)
    return spec


METER = """
import os, resource, signal, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
signal.signal(signal.SIGTERM, lambda *_: process.terminate())
code = process.wait()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Runs a command and prints its peak in KB. A process in between, as the peak of a new process
begins with the memory of the one that it was forked from: here that of the tests."""


def peak_megabytes(
    *arguments: str, env: dict[str, str], until: Callable[[], object] | None = None
) -> float:
    """Run a verb and return the peak of its resident memory in MB.

    `until`: called once the verb runs; then it is stopped with SIGTERM.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", METER, sys.executable, "-m", "producer", *arguments],
        stdout=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    try:
        if until:
            until()
    finally:
        if until:
            process.terminate()
        answer, _ = process.communicate()
    assert process.returncode in {0, 3}, (arguments, process.returncode)
    return int(answer) / 1024
