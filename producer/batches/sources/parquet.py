"""Reads the rows of a Parquet manifest, through a process whose memory is limited."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from contract.interpreter import python_command
from producer.batches.arrow import require_pyarrow
from producer.batches.sources.files import BadManifestError
from producer.batches.sources.rows import Rows
from producer.batches.storage_retry import StoppedError

PROCESS = "producer.batches.parquet_process"
STOPPED = {-signal.SIGINT, -signal.SIGTERM}
"""Status of the process if a signal to all processes of a terminal or a service has ended it."""
MAX_LINE_BYTES = 1 << 21
"""Bytes of a line that the process prints, which has a single row if it has more than half."""


def parquet_rows(file: BinaryIO) -> Rows:
    """Yield the rows of a Parquet file, which must be a file of the operating system.

    Raises BadManifestError, PermanentError (`extra_missing`) without pyarrow, or StoppedError.
    """
    require_pyarrow("A Parquet manifest")
    position = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    with subprocess.Popen(
        python_command(PROCESS), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout  # noqa: S101 - a pipe was requested
        try:
            yield from _rows(process.stdout)
            if process.wait() in STOPPED:
                raise StoppedError
            if process.returncode:
                raise BadManifestError(
                    f"The Parquet file ended the process that reads it (status"
                    f" {process.returncode}): write it again, with smaller row groups and pages."
                )
        finally:
            process.kill()
            process.wait()
            # the two processes share it, and this one goes on from where it was
            os.lseek(file.fileno(), position, os.SEEK_SET)


def _rows(output: IO[bytes]) -> Rows:
    lines = _lines(output)
    names: list[str] = next(lines, [])
    number = 0
    for columns in lines:
        for values in zip(*columns, strict=True):
            number += 1
            yield number, dict(zip(names, values, strict=True))


def _lines(output: IO[bytes]) -> Iterator[list[Any]]:
    """Yield the arrays that the process prints. Raises BadManifestError with its last sentence."""
    while line := output.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES:
            raise BadManifestError(f"A row has more than {MAX_LINE_BYTES >> 1:,} bytes.")
        try:
            values = json.loads(line)
        except ValueError:  # the process ended in the middle of a line
            return
        if isinstance(values, str):
            raise BadManifestError(values)
        yield values
