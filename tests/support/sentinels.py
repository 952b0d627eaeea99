"""A Redis with two replicas, watched by three Sentinels, all real and on this machine."""

import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from support.services import free_port, redis_binary, until

HOST = "127.0.0.1"
MASTER = "drill"
PASSWORD = "redis-secret"
DOWN_MILLISECONDS = 1000
"""How long a Sentinel waits for a server's reply before it treats the server as down."""


@dataclass
class Sentinels:
    """`nodes`: port -> process of each Redis, the first of which begins as the master."""

    folder: Path
    sentinel_password: str = ""
    nodes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    sentinels: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, replicas: int = 2, sentinels: int = 3) -> None:
        first = free_port()
        self.start_node(first)
        for _ in range(replicas):
            self.start_node(free_port(), "--replicaof", f"{HOST} {first}")
        until(lambda: self.info(first)["connected_slaves"] == replicas)
        for _ in range(sentinels):
            self._start_sentinel(free_port(), first, quorum=sentinels // 2 + 1)
        until(lambda: all(self._is_complete(port, replicas, sentinels) for port in self.sentinels))

    def start_node(self, port: int, *options: str) -> None:
        data = self.folder / str(port)
        data.mkdir(parents=True, exist_ok=True)
        self.nodes[port] = subprocess.Popen(
            [
                redis_binary(), "--port", str(port), "--bind", HOST, "--dir", str(data),
                "--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0",
                "--requirepass", PASSWORD, "--masterauth", PASSWORD, *options,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: self.info(port))

    def _start_sentinel(self, port: int, master: int, quorum: int) -> None:
        settings = {
            f"monitor {MASTER}": f"{HOST} {master} {quorum}",
            f"auth-pass {MASTER}": PASSWORD,
            f"down-after-milliseconds {MASTER}": str(DOWN_MILLISECONDS),
            f"failover-timeout {MASTER}": "5000",
        }
        lines = [f"port {port}", f"bind {HOST}", f"dir {self.folder}"]
        lines += [f"sentinel {name} {value}" for name, value in settings.items()]
        if self.sentinel_password:
            lines += [
                f"requirepass {self.sentinel_password}",
                f"sentinel sentinel-pass {self.sentinel_password}",
            ]
        path = self.folder / f"sentinel-{port}.conf"
        path.write_text("\n".join(lines) + "\n")
        self.sentinels[port] = subprocess.Popen(
            [redis_binary(), str(path), "--sentinel"], stdout=subprocess.DEVNULL
        )

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{port}" for port in self.sentinels)
        return f"sentinel://:{PASSWORD}@{hosts}/{MASTER}/0"

    @property
    def master(self) -> int:
        """The master's port, as the first Sentinel that answers names it."""
        for port in self.sentinels:
            with suppress(redis.RedisError), self.client(port, self.sentinel_password) as client:
                return int(client.sentinel_get_master_addr_by_name(MASTER)[1])
        raise AssertionError("no Sentinel answers")

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        return self.nodes[self.master]

    def info(self, port: int) -> dict[str, object]:
        """Return the INFO of a server; empty while it does not answer."""
        with suppress(redis.RedisError), self.client(port, PASSWORD) as client:
            return client.info("replication")
        return {}

    def kill_master(self) -> int:
        """SIGKILL the master; return its port."""
        port = self.master
        self.nodes[port].send_signal(signal.SIGKILL)
        self.nodes[port].wait()
        return port

    def wait_for_failover(self, old: int) -> None:
        until(lambda: self.master != old and self.info(self.master).get("role") == "master", 150)

    def wait_until_demoted(self, port: int) -> None:
        until(lambda: self.info(port).get("master_link_status") == "up", 150)

    def remove(self) -> None:
        for process in (*self.sentinels.values(), *self.nodes.values()):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def client(self, port: int, password: str) -> redis.Redis:
        return redis.Redis(
            host=HOST, port=port, password=password or None, socket_timeout=1,
            socket_connect_timeout=1, retry=None, decode_responses=True,
        )  # fmt: skip

    def _is_complete(self, port: int, replicas: int, sentinels: int) -> bool:
        with suppress(redis.RedisError), self.client(port, self.sentinel_password) as client:
            state = client.sentinel_masters().get(MASTER, {})
            known = state.get("num-slaves"), state.get("num-other-sentinels")
            return known == (replicas, sentinels - 1)
        return False
