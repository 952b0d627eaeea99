"""Real services for real tests: a redis-server, two independent S3 servers, the U²-NetP weights.

A service that cannot be had skips a test locally, with the reason; with CI=true it fails.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.drill import Drill, table
from support.services import CREDENTIALS, RedisServer, S3Server, free_port, missing, served, until  # noqa: F401
from support.serving import Server, serving, whole

from contract.errors import CutoutError
from contract.ledger.redis_ledger import RedisLedger
from contract.settings import settings
from contract.storage.locations import open_store
from contract.storage.s3 import client as s3_client
from producer.dispatch import publisher
from producer.local.redis_server import server_binary

HEADING = """# What the drills measured

Written by `make drills`: each row is a real cluster, harmed in one way, its batch then checked by
`cutout audit`. The bound is for what is measured: seconds until the image, the batch or every
worker is back, unless the unit says otherwise. Duplicated are deliveries that found their image
settled or in hand; they are counted nowhere else."""


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
    for cached in (settings, open_store, s3_client, publisher.app):
        cached.cache_clear()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    try:
        server_binary()
    except CutoutError as error:
        missing(str(error))
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.remove()


@pytest.fixture
def ledger(redis_server: RedisServer) -> RedisLedger:
    return RedisLedger(redis_server.url)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    binary = Path(sys.executable).parent / "moto_server"
    if not binary.exists():
        missing("moto's server is not installed")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with served([str(binary), "-H", "127.0.0.1", "-p", str(port)], url, CREDENTIALS):
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
    with served(command, url, {}):
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
    boto3.session.Session().client("s3").create_bucket(Bucket=name)
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


@pytest.fixture
def cluster(redis_server: RedisServer, weights: Path, tmp_path: Path) -> Iterator[Cluster]:
    running = Cluster(redis_server, tmp_path)
    yield running
    running.stop()


@pytest.fixture
def quick_cluster(redis_server: RedisServer, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose network is a stand-in: no weights to fetch, milliseconds an image."""
    env = {"CUTOUT_MODEL_DIR": str(tmp_path / "models")}
    running = Cluster(redis_server, tmp_path, env=env, stand_in=True)
    yield running
    running.stop()


@pytest.fixture
def server(quick_cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    """A server, a dispatcher and a worker whose network is a stand-in."""
    with serving(quick_cluster, tmp_path) as running:
        running.work()
        yield running


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One like `server` for all tests of a module, with an S3 server: for tests that harm nothing.

    The module may choose the S3 server (`S3`) and set more of the environment (`SETTINGS`).
    """
    s3_server = request.getfixturevalue(f"{getattr(request.module, 'S3', 'moto')}_server")
    with whole(
        tmp_path_factory.mktemp("shared"), {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_server.url},
        getattr(request.module, "SETTINGS", {}),
    ) as running:  # fmt: skip
        yield running


@pytest.fixture
def drill(
    quick_cluster: Cluster, catalogue: Path, tmp_path: Path, request, record_property
) -> Drill:
    """A drill named after its test."""
    name = request.node.name.removeprefix("test_").replace("_", " ")
    full = request.config.getoption("--full")
    return Drill(name, full, quick_cluster, catalogue, tmp_path / "out", record_property)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="drills in their long form, with bounds")
    parser.addoption("--table", type=Path, help="write what the drills measured to this file")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    rows = sorted(
        (report.nodeid, row)
        for report in reports
        if report.when == "call"
        for name, row in report.user_properties
        if name == "drill"
    )
    if config.getoption("--full") and rows:
        terminalreporter.section("drills")
        terminalreporter.write(table(row for _, row in rows))
    if path := config.getoption("--table"):
        path.write_text(f"{HEADING}\n\n{table(row for _, row in rows)}")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A folder to fill with photographs."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    return folder
