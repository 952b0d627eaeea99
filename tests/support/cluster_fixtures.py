"""Fixtures that start a whole cluster; see `support.fixtures`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import Cluster
from support.services import RedisServer
from support.serving import Server, serving, whole


@pytest.fixture
def cluster(redis_server: RedisServer, weights: Path, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with U²-NetP."""
    running = Cluster(redis_server, tmp_path)
    yield running
    running.stop()


@pytest.fixture
def quick_cluster(redis_server: RedisServer, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with a stand-in for the network: no weights to fetch, milliseconds per image."""
    env = {"CUTOUT_MODEL_DIR": str(tmp_path / "models")}
    running = Cluster(redis_server, tmp_path, env=env, stand_in=True)
    yield running
    running.stop()


@pytest.fixture
def server(quick_cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    """A `cutout serve`, with a dispatcher and a worker behind it."""
    with serving(quick_cluster, tmp_path) as running:
        running.work()
        yield running


@pytest.fixture(scope="module")
def server_settings() -> dict[str, str]:
    """Environment variables of `shared`; a module that needs some overrides this."""
    return {}


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    server_settings: dict[str, str],
) -> Iterator[Server]:
    """Like `server`, with an S3 server, for all tests of a module: they must do no harm.

    The module may choose the S3 server (`S3`) and override `server_settings`.
    """
    s3_server = request.getfixturevalue(f"{getattr(request.module, 'S3', 'moto')}_server")
    folder = tmp_path_factory.mktemp("shared")
    with whole(folder, s3_server.environment, server_settings) as running:
        yield running
