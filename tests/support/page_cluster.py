"""A real server for the page: Redis, `cutout serve`, a dispatcher, a worker, and a bucket."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from support import paths
from support.catalogue import photograph
from support.cluster import STAND_IN, Cluster
from support.services import CREDENTIALS, RedisServer, free_port, missing, served, until

SAMPLES = sorted(paths.SAMPLES.glob("*.jpg"))
HOSTILE = "<img src=x onerror=alert(1)>.jpg"
MAX_PIXELS = 1_000_000


@dataclass
class PageCluster:
    """A cluster to test the page with. Every folder in `buckets` is a bucket."""

    cluster: Cluster
    buckets: Path
    servers: dict[str, str] = field(default_factory=dict)

    def serve(self, name: str = "server", **env: str) -> str:
        """Start a server with this name unless it is running; return its URL."""
        if name not in self.servers:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            self.cluster.start(name, "producer", "serve", CUTOUT_WEB_PORT=str(port), **env)
            until(partial(_answers, url))
            self.servers[name] = url
        return self.servers[name]

    def make_key(self, file: Path) -> str:
        """Add a key with every scope to `file`; return its text."""
        scopes = [part for scope in ("submit", "read", "admin") for part in ("--scope", scope)]
        return subprocess.run(
            [sys.executable, str(STAND_IN), "key", "page", *scopes], text=True, check=True,
            env=self.cluster.environment(CUTOUT_API_KEYS=str(file)), stdout=subprocess.PIPE,
        ).stdout.strip()  # fmt: skip


def _answers(url: str) -> bool:
    with suppress(URLError), urlopen(f"{url}/healthz", timeout=2):
        return True
    return False


@contextmanager
def page_cluster(
    folder: Path, env: dict[str, str], *, stand_in: bool = True
) -> Iterator[PageCluster]:
    """Run everything but `cutout serve`."""
    binary = Path(sys.executable).parent / "rclone"
    if not binary.exists():
        missing("rclone is not installed")
    buckets = folder / "buckets"
    for bucket in ("photographs", "cut-outs"):
        (buckets / bucket).mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    keys = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
    command = [
        str(binary), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", keys,
        "--config", os.devnull, str(buckets),
    ]  # fmt: skip
    settings = {
        **CREDENTIALS, "AWS_ENDPOINT_URL": url, "CUTOUT_STATE_DIR": str(folder / "state"),
        "CUTOUT_WEB_STORE": "s3://cut-outs", **env,
    }  # fmt: skip
    redis = RedisServer(folder)
    redis.start()
    running = Cluster(redis, folder, env=settings, stand_in=stand_in)
    try:
        with served(command, url, {}):
            try:
                running.start_dispatcher()
                running.start_worker()
                yield PageCluster(running, buckets)
            finally:
                running.stop()
    finally:
        redis.remove()


def fill(folder: Path, count: int) -> None:
    """Write `count` small photographs, one that is too large, one that is broken, and a text."""
    for number in range(count):
        photograph(folder / f"shoes/{number:04}.jpg", number)
    photograph(folder / "shoes/poster.jpg", size=(1200, 900))
    (folder / "broken").mkdir()
    (folder / "broken" / HOSTILE).write_text("not a photograph")
    (folder / "notes.txt").write_text("not a photograph")
