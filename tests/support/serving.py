"""`cutout serve` in a process of its own, with a client for it."""

import io
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
from PIL import Image

from support.catalogue import photograph
from support.cluster import Cluster
from support.receivers import tls
from support.services import RedisServer, free_port, until
from support.stand_in import MARK

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'",
}


@dataclass
class Server:
    """A running `cutout serve`, the folder of its store, and a client for it."""

    cluster: Cluster
    store: Path
    env: dict[str, str]
    port: int
    client: httpx.Client
    name: str = "serve"
    tls: ssl.SSLContext | None = None
    """for an https server that the workers trust"""
    s3: Any = None

    def bucket(self) -> str:
        name = f"b{time.time_ns()}"
        self.s3.create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, key: str, data: bytes) -> str:
        self.s3.put_object(Bucket=bucket, Key=key, Body=data)
        return f"s3://{bucket}/{key}"

    def get(self, bucket: str, key: str) -> bytes:
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.cluster.start(self.name, "producer", "serve", **self.env)
        until(self.answers)

    def answers(self) -> bool:
        process = self.cluster.processes[self.name]
        assert process.poll() is None, self.cluster.log(self.name)
        try:
            # 503 while Redis is away: the server runs all the same
            return self.client.get("/healthz", timeout=5).status_code in {200, 503}
        except httpx.TransportError:
            return False

    def work(self, children: int = 1, **env: str) -> None:
        """Start a dispatcher and a worker."""
        self.cluster.start_dispatcher(**env)
        self.cluster.start_worker(children, **env)

    def upload(self, image: bytes, name: str = "shoe.jpg", wait: int = 0, **more) -> httpx.Response:
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        headers |= more.pop("headers", {})
        return self.client.post(
            "/v1/cutouts", files={"image": (name, image)}, headers=headers, **more
        )

    def submit(self, wait: int = 0, **body: Any) -> httpx.Response:
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        return self.client.post("/v1/cutouts", json=body, headers=headers)

    def ended(self, cutout_id: str, seconds: float = 90) -> dict[str, Any]:
        def once_ended() -> dict[str, Any] | None:
            try:
                answer = self.client.get(f"/v1/cutouts/{cutout_id}")
            except httpx.TransportError:
                return None
            cutout = answer.json()
            return cutout if cutout.get("status") in {"done", "failed"} else None

        return until(once_ended, seconds)

    def assert_works(self) -> None:
        """Assert that a plain upload is cut out."""
        done = self.upload(jpeg(), wait=30)
        assert (done.status_code, done.json()["status"]) == (200, "done"), done.text
        assert self.client.delete(done.headers["location"]).status_code == 204

    def stored(self) -> list[str]:
        """Return the keys in the server's store, without the store's own metadata."""
        files = (path.relative_to(self.store) for path in self.store.rglob("*") if path.is_file())
        return sorted(str(path) for path in files if path.parts[0] != "_cutout")

    def stored_results(self) -> list[str]:
        """Return the keys of the results in the server's store."""
        return [key for key in self.stored() if key.startswith("cut-outs/")]

    def redis_text(self) -> str:
        """Return all keys and values in Redis as text."""
        redis = self.cluster.ledger.connection.client
        return "\n".join(repr((key, _value(redis, key))) for key in redis.scan_iter())


def _value(redis: Any, key: str) -> object:
    read = {
        "string": lambda: redis.execute_command("GET", key, NEVER_DECODE=[]),
        "hash": lambda: redis.hgetall(key),
        "list": lambda: redis.lrange(key, 0, -1),
        "set": lambda: redis.smembers(key),
        "zset": lambda: redis.zrange(key, 0, -1, withscores=True),
        "stream": lambda: redis.xrange(key),
        "none": lambda: None,  # deleted meanwhile
    }
    return read[redis.type(key)]()


@contextmanager
def serving(cluster: Cluster, folder: Path, name: str = "serve", **env: str) -> Iterator[Server]:
    port = free_port()
    store = folder / "store"
    all_env = {
        "CUTOUT_WEB_PORT": str(port), "CUTOUT_WEB_STORE": str(store),
        "CUTOUT_RATE_LIMIT_PER_MINUTE": "100000", "CUTOUT_WEBHOOK_SECRET": SECRET, **env,
    }  # fmt: skip
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70, trust_env=False) as client:
        server = Server(cluster, store, all_env, port, client, name)
        server.start()
        yield server


@contextmanager
def whole(folder: Path, aws: dict[str, str], settings: dict[str, str]) -> Iterator[Server]:
    """Start Redis, a server, a dispatcher and a worker with this storage and these settings."""
    redis = RedisServer(folder)
    redis.start()
    tls_server, _ = tls(folder, "127.0.0.1")
    env = {
        **aws, "CUTOUT_MODEL_DIR": str(folder / "models"), "CUTOUT_STATE_DIR": str(folder),
        "CUTOUT_URL_ALLOWLIST": "127.0.0.1", "SSL_CERT_FILE": str(folder / "server.pem"),
    }  # fmt: skip
    cluster = Cluster(redis, folder, env=env, stand_in=True)
    try:
        with serving(cluster, folder, **settings) as server:
            server.tls = tls_server
            server.s3 = boto3.client(
                "s3", endpoint_url=aws["AWS_ENDPOINT_URL"], region_name=aws["AWS_DEFAULT_REGION"],
                aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
            )  # fmt: skip
            server.work(CUTOUT_WEBHOOK_SECRET=SECRET)
            yield server
    finally:
        cluster.stop()
        redis.remove()


def refused_start(cluster: Cluster, folder: Path, **env: str) -> str:
    """Return the error of a server that must not start."""
    settings = {"CUTOUT_WEB_STORE": str(folder / "store"), "CUTOUT_WEB_PORT": "1", **env}
    answer = subprocess.run(
        [sys.executable, "-m", "producer", "serve"], env=cluster.environment(**settings),
        check=False, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert answer.returncode == 1
    return answer.stderr


def new_key(cluster: Cluster, path: Path, name: str, *scopes: str) -> str:
    arguments = [part for scope in scopes for part in ("--scope", scope)]
    answer = subprocess.run(
        [sys.executable, "-m", "producer", "key", name, *arguments],
        env=cluster.environment(CUTOUT_API_KEYS=str(path)), check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    return answer.stdout.strip()


def jpeg(seed: int = 0, fault: str = "", size: tuple[int, int] = (160, 120)) -> bytes:
    """Return a photograph. `fault`: what it does to its worker (see `stand_in.py`)."""
    path = Path(os.environ["CUTOUT_STATE_DIR"]) / f"{seed}.jpg"
    photograph(path, seed, size)
    return path.read_bytes() + (b"\n" + MARK + fault.encode() if fault else b"")


def is_cutout(data: bytes, size: tuple[int, int] = (160, 120)) -> bool:
    """Return whether this is an RGBA PNG of this size with both low and high alpha."""
    with Image.open(io.BytesIO(data)) as picture:
        low, high = picture.getchannel("A").getextrema()
        return (picture.format, picture.mode, picture.size) == ("PNG", "RGBA", size) and low < high


def within_one_minute(seconds: float = 20) -> None:
    """Wait for a minute that lasts `seconds` more: requests are limited by the minute."""
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return the problem in an answer, after checking that it is one as documented."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code), body
    assert body["detail"]
    assert body["next_step"]
    if status in {429, 503}:
        assert int(answer.headers["retry-after"]) > 0
    assert_safe(answer)
    return body


def assert_safe(answer: httpx.Response) -> None:
    """Assert that an answer has the safety headers and no CORS headers."""
    for name, value in HEADERS.items():
        assert answer.headers[name].startswith(value), (name, answer.headers)
    assert answer.headers["cache-control"]
    assert not any(name.lower().startswith("access-control-") for name in answer.headers)
