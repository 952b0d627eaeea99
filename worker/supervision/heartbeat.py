"""Whether a worker is alive and ready: a file that its main loop rewrites, read by `cutout health`.

Independent of Redis: a worker that waits for Redis is alive, and restarting it would not help.
"""

import mmap
import os
import time
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.errors import ErrorCode, PermanentError
from contract.paths import expand
from contract.settings import Settings
from worker.supervision.outlier import OutlierCheck

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 5
"""Interval at which the file is rewritten."""
STALE_SECONDS = 60
"""A main loop without a heartbeat for this long is stuck. A healthy one may be silent for half of
that, while it waits in turn for each of its connections to a Redis that does not reply."""

_loaded = mmap.mmap(-1, mmap.PAGESIZE)
"""One byte per child: 1 if its model is loaded. Created before the fork, so all share it."""


def set_loaded(child: int, *, loaded: bool) -> None:
    """Record whether the model of a child is loaded. `child`: its position in the pool."""
    _loaded[child] = loaded


def loaded_children() -> int:
    return sum(_loaded[:])


def heartbeat_folder(config: Settings) -> Path:
    """Return the folder of the heartbeat files of all workers on this machine."""
    return expand(config.state_dir) / "workers"


class Heartbeat(BaseModel):
    """The content of a worker's file."""

    model_config = ConfigDict(frozen=True)

    pid: int
    born: str
    """see `start_time`"""
    time: float
    """when it was written, in Unix seconds"""
    ready: bool
    """at least one model is loaded, the broker is connected, and it takes images"""
    queue: str
    children: int
    out_of_rotation: str = ""
    """why it takes no images, in a sentence; else empty"""

    @property
    def age(self) -> float:
        """Seconds since it was written."""
        return time.time() - self.time

    @property
    def is_recent(self) -> bool:
        return self.age < STALE_SECONDS


def start_time(pid: int) -> str | None:
    """Return when a process started, in the kernel's clock ticks, or None if it does not run.

    Tells it apart from a later process with the same PID. Empty on systems without /proc.
    """
    try:
        os.kill(pid, 0)
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (ProcessLookupError, PermissionError):  # another user's process is not our worker
        return None
    except FileNotFoundError:
        return ""
    return None if state == "Z" else rest[18]  # starttime; see proc_pid_stat(5)


class HeartbeatFile:
    """This worker's file. Written by its main loop only, so that a stuck loop shows."""

    def __init__(
        self, folder: Path, queue: str, children: int, outlier_check: OutlierCheck
    ) -> None:
        self.last_beat = time.monotonic()
        self._pid = os.getpid()
        self._file = folder / f"{self._pid}.json"
        self._queue = queue
        self._children = children
        self._outlier_check = outlier_check
        self._born = start_time(self._pid) or ""
        self._written = -float(HEARTBEAT_SECONDS)
        self._ready: bool | None = None
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        read_heartbeats(folder)  # deletes the files of dead workers
        self.beat(connected=False)

    @property
    def ready(self) -> bool:
        """As `Heartbeat.ready` of the last heartbeat."""
        return bool(self._ready)

    def beat(self, *, connected: bool) -> None:
        """Record that the main loop runs. Writes the file if that is due or `ready` changed."""
        if os.getpid() != self._pid:
            return  # a child, which inherited this object and the broker connection that calls it
        self.last_beat = time.monotonic()
        ready = connected and loaded_children() > 0 and not self._outlier_check.reason
        if ready != self._ready or self.last_beat - self._written >= HEARTBEAT_SECONDS:
            self._ready, self._written = ready, self.last_beat
            self._write(ready)

    def delete(self) -> None:
        with suppress(OSError):
            self._file.unlink()

    def _write(self, ready: bool) -> None:
        heartbeat = Heartbeat(
            pid=self._pid, born=self._born, time=time.time(), ready=ready,
            queue=self._queue, children=self._children, out_of_rotation=self._outlier_check.reason,
        )  # fmt: skip
        partial = self._file.with_suffix(".new")
        try:
            partial.write_text(heartbeat.model_dump_json())
            partial.replace(self._file)
        except OSError as error:  # a full disk must not stop a worker
            log.warning("heartbeat not written", reason=str(error))


def read_heartbeats(folder: Path) -> list[Heartbeat]:
    """Return the last heartbeat of each running worker. Deletes the files of dead workers."""
    heartbeats = []
    for file in sorted(folder.glob("*.json")):
        try:
            heartbeat = Heartbeat.model_validate_json(file.read_text())
        except (OSError, ValidationError):
            continue
        if start_time(heartbeat.pid) == heartbeat.born:
            heartbeats.append(heartbeat)
        else:
            with suppress(OSError):
                file.unlink()
    return heartbeats


def check(folder: Path, *, ready: bool) -> list[Heartbeat]:
    """Return the heartbeats of all workers on this machine.

    Raises PermanentError (`worker_unhealthy`) if none is running or one is not alive; with `ready`,
    also if one is not ready.
    """
    heartbeats = read_heartbeats(folder)
    if not heartbeats:
        raise PermanentError(
            ErrorCode.WORKER_UNHEALTHY, f"No worker is running: no heartbeat in {folder}."
        )
    for heartbeat in heartbeats:
        worker = f"Worker {heartbeat.pid} ({heartbeat.queue})"
        if not heartbeat.is_recent:
            raise PermanentError(
                ErrorCode.WORKER_UNHEALTHY,
                f"{worker} is stuck: its last heartbeat was {heartbeat.age:.0f} s ago.",
            )
        if ready and heartbeat.out_of_rotation:
            raise PermanentError(
                ErrorCode.WORKER_UNHEALTHY,
                f"{worker} is out of rotation. {heartbeat.out_of_rotation}",
            )
        if ready and not heartbeat.ready:
            raise PermanentError(ErrorCode.WORKER_UNHEALTHY, f"{worker} is not ready.")
    return heartbeats
