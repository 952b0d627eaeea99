"""Writes a file so that readers see the whole of it or nothing, also after a power cut."""

import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

COPY_BYTES = 1024 * 1024
"""Copied at a time."""
MOVES = 10
"""How often a file is moved into a folder that others delete."""


def write_whole(
    scratch: Path, path: Path, body: bytes | BinaryIO, check: Callable[[], None]
) -> os.stat_result:
    """Write to a temporary file in `scratch`, sync it, and rename it; return its status.

    Both must be on one file system. `check` is called right before the renaming, and may raise to
    prevent it. Raises OSError.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    temporary = scratch / uuid.uuid4().hex
    try:
        with temporary.open("xb") as file:
            if isinstance(body, bytes):
                file.write(body)
            else:
                shutil.copyfileobj(body, file, COPY_BYTES)
            file.flush()
            # kernel timestamps have a resolution of milliseconds: two writes within one tick
            # would share an ETag
            os.utime(file.fileno(), ns=(time.time_ns(),) * 2)
            os.fsync(file.fileno())
        check()
        _move(temporary, path)
        status = path.stat()
        _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return status


def _move(file: Path, to: Path) -> None:
    """Move a file into a folder, which is created as often as a deletion removes it as empty."""
    for left in reversed(range(MOVES)):
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            file.replace(to)
        except FileNotFoundError:
            if not left:
                raise
        else:
            return


def _sync(folder: Path) -> None:
    """Make a rename durable, so it survives a power cut. Only then may the line be settled."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
