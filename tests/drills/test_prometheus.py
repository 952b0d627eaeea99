"""Every metric, alert and panel, on a real Prometheus that scraped a real run."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric
from support.drill import Drill
from support.helm import scaling_queries
from support.scrape import families, prometheus, query, scraped
from support.services import S3Server, free_port, until
from support.stand_in import mark

from contract.metrics import METRICS, MetricSpec
from contract.schedule import Schedule
from contract.settings import settings
from contract.storage.s3 import client

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/rules.yaml"
COUNT = 240


def alerts() -> dict[str, str]:
    """Return the queries of the alerts by name."""
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return {rule["alert"]: rule["expr"] for rule in rules}


def panels() -> dict[str, str]:
    """Return the queries of the dashboard's panels by title."""
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    price = {row["name"]: row["query"] for row in dashboard["templating"]["list"]}[
        "core_hour_price"
    ]
    return {
        panel["title"]: panel["targets"][0]["expr"].replace("$core_hour_price", price)
        for panel in dashboard["panels"]
    }


def accepts(port: int) -> bool:
    """Return whether a process listens on a port: the API does so after its metrics are served."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
        return True
    return False


@contextmanager
def running(drill: Drill) -> Iterator[dict[str, int]]:
    """Run each kind of process on a batch with failures, retries, a crash and a late callback."""
    ports = {name: free_port() for name in ("dispatcher", "worker", "quarantine", "serve")}
    env = {name: {"CUTOUT_METRICS_PORT": str(port)} for name, port in ports.items()}
    drill.fill(COUNT)
    for number in range(COUNT):
        mark(drill.key_path(number), "slow:0.4")
    drill.key_path(1).write_bytes(b"no image")
    mark(drill.key_path(2), "memory")
    mark(drill.key_path(3), "kill")
    cluster = drill.cluster
    cluster.start_dispatcher(**env["dispatcher"])
    cluster.start_worker(2, **env["worker"])
    cluster.start_quarantine(**env["quarantine"])
    web = free_port()
    store = {"CUTOUT_WEB_PORT": str(web), "CUTOUT_WEB_STORE": str(drill.out / "web")}
    cluster.start("serve", "producer", "serve", **env["serve"], **store)
    until(lambda: all(families(port) for port in ports.values()) and accepts(web))
    drill.submit(schedule=Schedule(deadline=datetime(2100, 1, 1, tzinfo=UTC)))
    refused = 0
    for path in ("/healthz", "/v1/models", "/v1/batches", "/nothing"):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{web}{path}", timeout=10).close()
        except urllib.error.HTTPError:
            refused += 1
    assert refused == 1  # that of `/nothing`
    yield ports


def test_every_query_of_rules_and_dashboard_finds_data_of_a_real_run(
    drill: Drill, tmp_path: Path, moto_server: S3Server, monkeypatch
) -> None:
    moto_server.select(monkeypatch)
    settings.cache_clear()
    client().create_bucket(Bucket="shop")
    drill.locations = str(drill.catalogue), "s3://shop/out"
    with (
        running(drill) as ports,
        prometheus(tmp_path, {f"cutout-{job}": port for job, port in ports.items()}, RULES) as own,
    ):
        without_data = set(panels())

        def all_have_data() -> bool:
            for title in list(without_data):
                if query(own, panels()[title]):
                    without_data.discard(title)
            return not without_data

        try:
            until(all_have_data, 90)
        except pytest.fail.Exception:
            pytest.fail(f"no data: {without_data}")
        for expression in alerts().values():
            query(own, expression)  # an error fails the test
        for expression in scaling_queries():
            assert query(own, expression), expression
        until(lambda: firing(own))
        # the photograph that kills its process, three times
        assert firing(own) == {"CutoutDeadLetters"}

        assert_exported_as_declared(ports.values())
        # the photograph that leaves its process without memory
        until(lambda: scraped(ports["dispatcher"])["cutout_lines_republished_total",] > 0)


def assert_exported_as_declared(ports: Iterable[int]) -> None:
    """Assert that the processes together export every metric of the table, and no other."""
    seen = {
        family.name: family
        for port in ports
        for family in families(port) or []
        if family.name.startswith("cutout_")
    }
    declared = {exported_name(spec): spec for spec in METRICS}
    assert set(declared) == set(seen)
    for name, family in seen.items():
        assert_as_declared(family, declared[name])


@pytest.mark.long
def test_a_lost_dispatcher_is_alerted(drill: Drill, tmp_path: Path) -> None:
    """With the intervals of deploy/prometheus, which scrapes it alone."""
    port = free_port()
    drill.fill(drill.size(5, 50))
    cluster = drill.cluster
    cluster.start_dispatcher(CUTOUT_METRICS_PORT=str(port))
    spec = drill.submit()
    until(lambda: families(port))
    with prometheus(tmp_path, {"cutout-dispatcher": port}, RULES, "5s") as own:
        until(lambda: query(own, "max(cutout_dispatcher_running) == 1"))
        cluster.kill("dispatcher")
        began = time.monotonic()
        until(lambda: "CutoutDispatcherMissing" in firing(own), pause=0.1)
        took = time.monotonic() - began
    cluster.start_dispatcher()
    cluster.start_worker()
    drill.closed(spec)
    drill.passed(spec, "SIGKILL to the only dispatcher: until the alert fires", 20, took)


def firing(port: int) -> set[str]:
    rows = query(port, 'ALERTS{alertstate="firing"}')
    return {row["metric"]["alertname"] for row in rows}


def exported_name(spec: MetricSpec) -> str:
    """Return the family's name: of a counter, without `_total`."""
    return spec.name.removesuffix("_total") if spec.type == "counter" else spec.name


def assert_as_declared(family: Metric, spec: MetricSpec) -> None:
    assert family.type == spec.type
    for sample in family.samples:
        labels = set(sample.labels) - ({"le"} if spec.type == "histogram" else set())
        assert labels == set(spec.labels)
