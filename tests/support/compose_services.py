"""Services of docker-compose.yml as processes of this machine, and what they must be able to do."""

import csv
import json
import os
import re
import signal
import subprocess
import urllib.request
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil

from support.compose import WORKERS, compose, example, seconds
from support.paths import SAMPLES
from support.scrape import families
from support.services import S3Server, free_port, rclone, until

STARTING = ["dispatcher", "worker", *WORKERS, "web", "flower"]
STOPPING = [*reversed(STARTING), "redis"]
ALL_DONE = dict.fromkeys([*(path.name for path in SAMPLES.glob("*.jpg")), "cutout"], "done")
"""What `cut_out_the_samples` returns if all goes well."""
"""As compose does: dependants stop before the services that they depend on."""


@dataclass
class ComposeServices(ABC):
    """Starts, probes and stops services as compose does."""

    folder: Path
    """for their logs"""
    running: list[tuple[str, "subprocess.Popen[bytes]"]] = field(default_factory=list)
    metrics_ports: dict[str, str] = field(default_factory=dict)
    """those of the processes started last, as all share a network"""

    @abstractmethod
    def command(self, name: str, *arguments: str) -> list[str]:
        """Return a service's command line; with arguments, that of `compose run NAME ...`."""

    @abstractmethod
    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of that command line."""

    @abstractmethod
    def probe(self, name: str) -> list[str]:
        """Return the command line of a service's own health check."""

    def metrics_port(self, name: str) -> str:
        """Return the port that replaces the compose file's for the next process of a service."""
        if name not in self.metrics_ports:
            self.metrics_ports[name] = str(free_port())
        return self.metrics_ports[name]

    def health_check(self, name: str) -> list[str]:
        """Return the words of a service's health check, with the port of its metrics."""
        words: list[str] = compose()[name]["healthcheck"]["test"]
        return [word.replace("9464", self.metrics_ports.get(name, "")) for word in words]

    def here(self, text: str) -> str:
        """Return a text of the compose file as it reads on this machine."""
        return text

    def main_process(self, process: "subprocess.Popen[bytes]") -> psutil.Process:
        """Return the process that an engine would send its signals to."""
        return psutil.Process(process.pid)

    def run(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a service to its end."""
        return subprocess.run(
            self.command(name, *arguments), env=self.environment(name), cwd=self.folder,
            check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def start(self, name: str) -> None:
        self.metrics_ports.pop(name, None)
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
        """Run a service's own health check. One that hangs has failed, as for an engine."""
        self.check()
        try:
            answer = subprocess.run(
                self.probe(name), env=self.environment(name), check=False, capture_output=True,
                timeout=30,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        return answer.returncode == 0

    def check(self) -> None:
        for name, process in self.running:
            assert process.poll() is None, f"{name} ended:\n{self.tail(name)}"

    def stop(self) -> dict[str, set[int]]:
        """Send SIGTERM as compose does, and return the exit statuses by service."""
        statuses: dict[str, set[int]] = {}
        for name in STOPPING:
            statuses.setdefault(name, set()).add(self.stop_one(name))
        return statuses

    def stop_one(self, name: str) -> int:
        """Send SIGTERM to the first process of a service, and return its exit status."""
        index = next(i for i, (other, _) in enumerate(self.running) if other == name)
        _, process = self.running.pop(index)
        self.main_process(process).terminate()
        return process.wait(seconds(compose()[name].get("stop_grace_period", "10s")))

    def kill(self) -> None:
        for _, process in self.running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the services that run."""
        found = [psutil.Process(process.pid) for _, process in self.running]
        return found + [child for process in found for child in process.children(recursive=True)]

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def tail(self, name: str) -> str:
        return "\n".join(self.log(name).read_text().splitlines()[-20:])

    def object_store(self, folder: Path) -> AbstractContextManager[S3Server]:
        """Serve S3 with rclone instead of the compose file's store, with the store's keys."""
        (folder / example()["STORE_BUCKET"]).mkdir(parents=True, exist_ok=True)
        keys = compose()["store"]["environment"]
        port = int(self.here("store:8333").rpartition(":")[2])
        return rclone(folder, port, keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])

    def client(self) -> Any:
        """Return an S3 client with the dispatcher's settings."""
        settings = compose()["dispatcher"]["environment"]
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.here('store:8333').rpartition(':')[2]}",
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
            region_name=settings["AWS_DEFAULT_REGION"],
        )


def cut_out_the_samples(services: ComposeServices) -> dict[str, str]:
    """Start every service, process a batch and a cutout; return the status of each photograph.

    The services are left running. The cutout's status is under its own name, `cutout`.
    """
    s3 = services.client()
    bucket = example()["STORE_BUCKET"]
    photographs = {path.name: path.read_bytes() for path in SAMPLES.glob("*.jpg")}
    for name, data in photographs.items():
        s3.put_object(Bucket=bucket, Key=f"in/{name}", Body=data)
    api_key = _start_all(services)
    statuses = _batch(services, s3, set(photographs))
    return {**statuses, "cutout": _cutout(services, api_key, photographs["cat.jpg"])}


def _start_all(services: ComposeServices) -> str:
    """Start every service in the order of the compose file; return a key of the API."""
    services.start("redis")
    until(lambda: services.healthy("redis"))
    pulled = services.run("weights")
    assert pulled.returncode == 0, pulled.stderr
    api_key = services.run("web", "key", "shop").stdout.strip()
    for name in STARTING:
        services.start(name)
    for name in ("flower", "web", "worker", "dispatcher"):
        until(lambda name=name: services.healthy(name))
    for port in services.metrics_ports.values():
        until(lambda port=port: families(int(port)))
    metrics = services.here("http://127.0.0.1:5555/metrics")
    until(lambda: _workers_online(metrics) == STARTING.index("web") - 1)  # each under its own name
    return api_key


def _workers_online(metrics: str) -> int:
    with urllib.request.urlopen(metrics, timeout=5) as answer:
        text: str = answer.read().decode()
    return len(re.findall(r"^flower_worker_online\{.*\} 1", text, re.MULTILINE))


def _batch(services: ComposeServices, s3: Any, names: set[str]) -> dict[str, str]:
    """Process a batch, check its outputs; return the status of each photograph."""
    bucket = example()["STORE_BUCKET"]
    locations = [f"s3://{bucket}/in", f"s3://{bucket}/out"]
    submitted = services.run("dispatcher", "submit", *locations, "--json")
    assert submitted.returncode == 0, submitted.stderr
    batch = json.loads(submitted.stdout)["batch"]
    watched = services.run("dispatcher", "watch", batch, "--json")
    services.check()
    assert watched.returncode == 0, watched.stdout + watched.stderr + services.tail("worker")
    assert json.loads(watched.stdout)["done"] == len(names) == 4

    report = s3.get_object(Bucket=bucket, Key=f"out/_cutout/{batch}/report.csv")["Body"].read()
    rows = list(csv.DictReader(report.decode().splitlines()))
    for name in names:
        key = f"out/{Path(name).stem}.png"
        png = s3.get_object(Bucket=bucket, Key=key)["Body"].read(26)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert png[25] == 6  # colour with alpha
    return {row["key"]: row["status"] for row in rows}


def _cutout(services: ComposeServices, api_key: str, photograph: bytes) -> str:
    """Request a cutout with and without a key; return its status."""
    address = services.here("http://127.0.0.1:8080/v1/cutouts")
    files = {"image": photograph}
    assert httpx.post(address, files=files).status_code == 401
    headers = {"Authorization": f"Bearer {api_key}", "Prefer": "wait=60"}
    cutout = httpx.post(address, files=files, headers=headers, timeout=70).json()
    assert cutout["status"] == "done", cutout
    location = f"s3://{example()['STORE_BUCKET']}/web/cut-outs/{cutout['id']}.png"
    assert cutout["output"] == location
    status: str = cutout["status"]
    return status


def stop_cleanly(services: ComposeServices) -> bool:
    """SIGTERM each service; return whether all end with status 0 in time, and leave no process."""
    processes = services.processes()
    assert services.stop() == {name: {0} for name in STOPPING}
    _, alive = psutil.wait_procs(processes, timeout=5)
    return not alive
