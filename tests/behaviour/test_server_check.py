"""What is asked of Redis at the start, against real servers configured in each way."""

import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.services import RedisServer, free_port

from contract.errors import ErrorCode, PermanentError
from contract.ledger.connection import Connection
from contract.ledger.redis_ledger import RedisLedger
from contract.ledger.server_check import check_server, examine


def connection_to(server: RedisServer, user: str = "") -> Connection:
    return Connection(server.url.replace("unix://", f"unix://{user}"), retries=0)


def configure(server: RedisServer, **options: object) -> Connection:
    connection = connection_to(server)
    for name, value in options.items():
        connection.client.config_set(name.replace("_", "-"), value)
    return connection


def codes(connection: Connection, new_connections: int = 0) -> list[ErrorCode]:
    return [warning.code for warning in examine(connection, new_connections)]


def test_a_durable_server_that_evicts_nothing_is_accepted_in_silence(redis_server: RedisServer):
    with capture_logs() as logs:
        check_server(connection_to(redis_server), 100)
    assert logs == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_an_evicting_server_is_refused(redis_server: RedisServer, policy: str):
    with pytest.raises(PermanentError, match=f"maxmemory-policy of Redis is {policy}") as caught:
        check_server(configure(redis_server, maxmemory_policy=policy))
    assert caught.value.code is ErrorCode.REDIS_EVICTION


def test_a_server_without_append_only_file_is_warned_of(redis_server: RedisServer):
    connection = configure(redis_server, appendonly="no")
    with capture_logs() as logs:
        check_server(connection)
    [entry] = logs
    assert entry["log_level"] == "warning"
    assert entry["reason"].startswith("redis_persistence: Redis keeps no append-only file.")


def test_too_few_connections_are_warned_of(redis_server: RedisServer):
    connection = configure(redis_server, maxclients=100)
    assert codes(connection, 50) == []
    assert codes(connection, 95) == [ErrorCode.REDIS_MAXCLIENTS]


def test_a_connection_beyond_maxclients_is_named(redis_server: RedisServer):
    first = configure(redis_server, maxclients=1)
    with capture_logs() as logs:
        check_server(connection_to(redis_server))
    assert "redis_maxclients: Redis accepts no further connection" in logs[0]["reason"]
    first.close()


@pytest.mark.parametrize("forbidden", ["-config", "-info"])
def test_a_server_that_forbids_a_command_is_used(redis_server: RedisServer, forbidden: str):
    """As managed services do, and operators who give each client few permissions."""
    admin = configure(redis_server, maxclients=100)
    admin.client.acl_setuser("cutout", enabled=True, passwords=["+pass"], keys=["*"],
        channels=["*"], commands=["+@all", forbidden])  # fmt: skip
    limited = connection_to(redis_server, "cutout:pass@")
    expected = [] if forbidden == "-info" else [ErrorCode.REDIS_MAXCLIENTS]
    assert codes(limited, 95) == expected


def test_a_server_older_than_its_maxclients_in_info_is_asked_by_config(
    redis_server: RedisServer, monkeypatch
):
    connection = configure(redis_server, maxclients=100)
    info = connection.client.info()
    del info["maxclients"]
    monkeypatch.setattr(connection.client, "info", lambda: info)
    assert codes(connection, 95) == [ErrorCode.REDIS_MAXCLIENTS]


def test_wrong_credentials_are_refused(redis_server: RedisServer):
    with pytest.raises(PermanentError, match="refused the credentials"):
        check_server(connection_to(redis_server, "nobody:hunter2@"))


def test_a_server_that_is_away_is_left_for_later():
    with capture_logs() as logs:
        check_server(Connection("unix:///tmp/no-such-socket", retries=0))
    assert [entry["event"] for entry in logs] == ["Redis not checked"]


class ClusterNode(RedisServer):
    """A node of a Redis Cluster that serves no slots."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))


@pytest.fixture
def cluster_node(tmp_path: Path):
    server = ClusterNode(tmp_path)
    server.start()
    yield server
    server.remove()


def test_a_cluster_is_refused_by_name(cluster_node: RedisServer):
    with pytest.raises(PermanentError) as caught:
        check_server(connection_to(cluster_node))
    assert caught.value.code is ErrorCode.REDIS_CLUSTER
    with pytest.raises(PermanentError) as caught:
        RedisLedger(cluster_node.url, retries=0).batches.open_ids()
    assert caught.value.code is ErrorCode.REDIS_CLUSTER


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [("producer", "dispatch"), ("producer", "flower"), ("producer", "status"),
     ("worker", "worker")],
)  # fmt: skip
def test_every_command_refuses_a_cluster(
    cluster_node: RedisServer, command: tuple[str, ...], monkeypatch
):
    monkeypatch.setenv("CUTOUT_REDIS_URL", cluster_node.url)
    answer = subprocess.run(
        [sys.executable, "-m", *command], check=False, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("cutout: redis_cluster: ")
