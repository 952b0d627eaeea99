"""`/metrics` and `/healthz`, read as Prometheus reads them, and queries of a Prometheus."""

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from support.services import free_port, missing, served, until

Values = dict[tuple[str, ...], float]


def families(port: int) -> list[Metric] | None:
    """Return what a process exports, or None without a server."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return list(text_string_to_metric_families(answer.read().decode()))
    except OSError:
        return None


def scraped(port: int) -> Values | None:
    """Return the samples by name and values of labels, or None without a server."""
    found = families(port)
    if found is None:
        return None
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in found
        for sample in family.samples
    }


def probed(port: int) -> int:
    """Return the status of `/healthz`."""
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code


@contextmanager
def prometheus(
    folder: Path, jobs: dict[str, int], rules: Path, interval: str = "1s"
) -> Iterator[int]:
    """Run a Prometheus that scrapes ports at an interval; yield its own port.

    `jobs`: name of each job -> the port that it scrapes.
    """
    program = shutil.which("prometheus") or missing("prometheus is not installed")
    own = free_port()
    config = {
        "global": {"scrape_interval": interval, "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in jobs.items()
        ],
    }
    (folder / "prometheus.yaml").write_text(json.dumps(config))  # JSON is YAML
    command = [
        program, f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{own}",
    ]  # fmt: skip
    ready = f"http://127.0.0.1:{own}/-/ready"
    with served(command, ready, {}):
        until(lambda: is_ready(ready))  # it answers 503 while it starts
        yield own


def is_ready(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == HTTPStatus.OK
    except urllib.error.HTTPError:
        return False


def query(port: int, expression: str) -> list[dict]:
    """Return the series that Prometheus finds. Its errors fail the test."""
    words = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{words}") as answer:
        body = json.loads(answer.read())
    assert body["status"] == "success", body
    return body["data"]["result"]
