"""Fixtures of all tiers: a clean environment, real services, weights. None imports the product.

A service that is not installed skips a test locally, with the reason; with CI=true it fails.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.services import RedisServer, S3Server, missing, moto, rclone
from support.temporary import TemporaryFolder


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # xdist's workers inherit TMPDIR
        config.pluginmanager.register(TemporaryFolder(config), "temporary-folder")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="also the long tests, and drills in their long form"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        long = [one for one in items if one.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [one for one in items if not one.get_closest_marker("long")]


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hide the machine's own settings and credentials, except where its weights are."""
    model_dir = os.environ.get("CUTOUT_MODEL_DIR")
    for name in list(os.environ):
        if name.startswith(("CUTOUT_", "AWS_")):
            monkeypatch.delenv(name)
    if model_dir:
        monkeypatch.setenv("CUTOUT_MODEL_DIR", model_dir)
    monkeypatch.setenv("CUTOUT_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    # the default model is built from this one's weights, which would take a second a test
    monkeypatch.setenv("CUTOUT_MODEL", "u2netp")


@pytest.fixture(autouse=True)
def same_signal_handlers() -> Iterator[None]:
    """Undo what a test does to signals: a server that later tests start would ignore them too."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def idle_redis_servers() -> Iterator[list[RedisServer]]:
    """Servers that tests left unchanged: starting one costs more than most tests."""
    servers: list[RedisServer] = []
    yield servers
    for server in servers:
        server.remove()


@pytest.fixture
def redis_server(
    idle_redis_servers: list[RedisServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """An empty server of the test's own, which it may reconfigure, kill and start again."""
    if idle_redis_servers:
        server = idle_redis_servers.pop()
    else:
        server = RedisServer(tmp_path_factory.mktemp("redis-server"))
        server.start()
    before = server.configuration()
    yield server
    if server.empty(before):
        idle_redis_servers.append(server)
    else:
        server.remove()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(params=["moto", "rclone"])
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Each S3 server in turn, with the standard AWS variables pointing at it."""
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    server.select(monkeypatch)
    return server


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A fresh bucket on the server that `s3` chose."""
    import boto3

    name = f"b{time.time_ns()}"
    boto3.session.Session().client("s3").create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder with U²-NetP's verified weights, downloaded if necessary."""
    answer = subprocess.run(
        [sys.executable, "-m", "worker", "models", "pull", "u2netp"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if answer.returncode:
        missing(answer.stderr.strip().splitlines()[-1])
    return Path(answer.stdout.split(" verified at ")[1].rsplit("/", 1)[0])


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """An empty folder for photographs."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    return folder
