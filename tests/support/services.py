"""Real services, started and stopped as processes."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
import redis

from producer.local import redis_server

T = TypeVar("T")

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing-key",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def missing(reason: str) -> NoReturn:
    """Skip locally, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(ask: Callable[[], T], seconds: float = 60, pause: float = 0.1) -> T:
    """Return the first true answer; fail when none came in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(pause)
    pytest.fail(f"nothing within {seconds} s")


class RedisServer:
    """A real redis-server with append-only persistence, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "redis"
        self._data.mkdir(parents=True)
        self._socket = redis_server.socket_path()
        self.url = f"unix://{self._socket}"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        self.process = subprocess.Popen(
            redis_server.command(self._data, self._socket), stdout=subprocess.DEVNULL
        )
        redis_server.wait_until_ready(self.process, self.url)

    def wait_until_written(self) -> None:
        """Wait for the append-only file: while the disk is busy, Redis answers before it writes."""
        with redis.Redis.from_url(self.url) as client:
            until(lambda: client.info("persistence")["aof_buffer_length"] == 0)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)

    def remove(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self._socket.parent, ignore_errors=True)


@dataclass(frozen=True)
class S3Server:
    name: str
    url: str


@contextmanager
def served(command: list[str], url: str, env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    try:
        until(answers)
        yield
    finally:
        process.terminate()
        process.wait(10)
