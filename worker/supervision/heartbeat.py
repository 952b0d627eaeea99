"""Whether a worker lives and is ready: a file that its main loop rewrites, and `cutout health`.

Redis has no part in this: a worker that waits for Redis lives, and to restart it helps nobody.
"""

import mmap
import os
import time
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.errors import ErrorCode, PermanentError

log = structlog.get_logger(__name__)

BEAT_SECONDS = 5
STALE_SECONDS = 60
"""A main loop that has not beaten for so long is stuck. It may stand still for half of that with
nothing wrong on this side: it waits for each of its connections to a Redis that never answers."""

_loaded = mmap.mmap(-1, mmap.PAGESIZE)
"""A byte for each child, made before the fork and so the same memory in all of them."""


def note_loaded(child: int, *, loaded: bool) -> None:
    """Say, in a child, whether its model is in memory."""
    _loaded[child] = loaded


def loaded_children() -> int:
    return sum(_loaded[:])


class Beat(BaseModel):
    """What a worker's file says."""

    model_config = ConfigDict(frozen=True)

    pid: int
    born: str
    time: float
    ready: bool
    queue: str
    children: int

    @property
    def age(self) -> float:
        return time.time() - self.time

    @property
    def live(self) -> bool:
        return self.age < STALE_SECONDS


def born(pid: int) -> str | None:
    """Return what tells a process from a later one of the same number; None where it is gone."""
    try:
        os.kill(pid, 0)
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except PermissionError:
        return None  # another user's: no worker of ours
    except ProcessLookupError:
        return None
    except FileNotFoundError:
        return ""  # no such file system here
    return None if state == "Z" else rest[18]  # proc(5): starttime


class Pulse:
    """Rewrites this worker's file. Beaten by the main loop alone, never by a thread."""

    def __init__(self, folder: Path, queue: str, children: int) -> None:
        self.at = time.monotonic()
        self._pid = os.getpid()
        self._file = folder / f"{self._pid}.json"
        self._queue = queue
        self._children = children
        self._born = born(self._pid) or ""
        self._written = -float(BEAT_SECONDS)
        self._ready: bool | None = None
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        beats(folder)  # forgets the dead
        self.beat(connected=False)

    def beat(self, *, connected: bool) -> None:
        """Note that the main loop is here; write it down where that is news."""
        if os.getpid() != self._pid:
            return  # a child: it has a copy of us, and of the connection that beats
        self.at = time.monotonic()
        ready = connected and loaded_children() > 0
        if ready != self._ready or self.at - self._written >= BEAT_SECONDS:
            self._ready, self._written = ready, self.at
            self._write(ready)

    def stop(self) -> None:
        with suppress(OSError):
            self._file.unlink()

    def _write(self, ready: bool) -> None:
        now = Beat(
            pid=self._pid, born=self._born, time=time.time(), ready=ready,
            queue=self._queue, children=self._children,
        )  # fmt: skip
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(now.model_dump_json())
            fresh.replace(self._file)
        except OSError as error:  # a full disk must not end a worker
            log.warning("heartbeat not written", why=str(error))


def beats(folder: Path) -> list[Beat]:
    """Return the last beat of each worker of this machine. Removes the files of dead ones."""
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            beat = Beat.model_validate_json(file.read_text())
        except (OSError, ValidationError):
            continue
        if born(beat.pid) == beat.born:
            found.append(beat)
        else:
            with suppress(OSError):
                file.unlink()
    return found


def check(folder: Path, *, ready: bool) -> list[Beat]:
    """Return the workers of this machine. Raises PermanentError (`worker_unhealthy`)."""
    found = beats(folder)
    if not found:
        raise PermanentError(ErrorCode.WORKER_UNHEALTHY, f"No worker runs here, says {folder}.")
    for beat in found:
        if not beat.live:
            raise PermanentError(
                ErrorCode.WORKER_UNHEALTHY,
                f"Worker {beat.pid} ({beat.queue}) was last heard of {beat.age:.0f} s ago.",
            )
        if ready and not beat.ready:
            raise PermanentError(
                ErrorCode.WORKER_UNHEALTHY, f"Worker {beat.pid} ({beat.queue}) is not ready."
            )
    return found
