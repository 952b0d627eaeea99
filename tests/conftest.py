"""Real services for real tests: a redis-server, two independent S3 servers, the U²-NetP weights.

A service that cannot be had skips a test locally, with the reason; with CI=true it fails.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from contract.errors import CutoutError
from contract.ledger import Ledger
from contract.settings import settings
from contract.storage.open import open_store
from producer import embedded, publish

T = TypeVar("T")
SAMPLES = Path(__file__).parent.parent / "samples"
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


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> Iterator[None]:
    """No setting of the machine leaks in, and none of a test leaks out."""
    kept = os.environ.get("CUTOUT_MODEL_DIR")
    for name in list(os.environ):
        if name.startswith(("CUTOUT_", "AWS_")):
            monkeypatch.delenv(name)
    if kept:
        monkeypatch.setenv("CUTOUT_MODEL_DIR", kept)
    monkeypatch.setenv("CUTOUT_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    _forget()
    yield
    _forget()


def _forget() -> None:
    for cached in (settings, open_store, publish.app):
        cached.cache_clear()


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
        self._socket = embedded.socket_path()
        self.url = f"unix://{self._socket}"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        self.process = subprocess.Popen(
            embedded.command(self._data, self._socket), stdout=subprocess.DEVNULL
        )
        embedded.wait_until_ready(self.process, self.url)

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)

    def remove(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self._socket.parent, ignore_errors=True)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    try:
        embedded.server_binary()
    except CutoutError as error:
        missing(str(error))
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.remove()


@pytest.fixture
def ledger(redis_server: RedisServer) -> Ledger:
    return Ledger(redis_server.url)


@dataclass(frozen=True)
class S3Server:
    name: str
    url: str


@contextmanager
def _served(command: list[str], url: str, env: dict[str, str]) -> Iterator[None]:
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


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    binary = Path(sys.executable).parent / "moto_server"
    if not binary.exists():
        missing("moto's server is not installed")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _served([str(binary), "-H", "127.0.0.1", "-p", str(port)], url, CREDENTIALS):
        yield S3Server("moto", url)


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    binary = Path(sys.executable).parent / "rclone"
    if not binary.exists():
        missing("rclone is not installed")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    keys = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
    command = [
        str(binary), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", keys,
        "--config", os.devnull, str(tmp_path_factory.mktemp("rclone")),
    ]  # fmt: skip
    with _served(command, url, {}):
        yield S3Server("rclone", url)


@pytest.fixture(params=["moto", "rclone"])
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Each S3 server in turn, with the standard AWS variables pointing at it."""
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    """A fresh bucket on the server at hand."""
    import boto3

    name = f"b{time.time_ns()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder with U²-NetP's verified weights, fetched if need be."""
    answer = subprocess.run(
        [sys.executable, "-m", "worker", "models", "pull", "u2netp"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if answer.returncode:
        missing(answer.stderr.strip().splitlines()[-1])
    return Path(answer.stdout.split(" verified at ")[1].rsplit("/", 1)[0])
