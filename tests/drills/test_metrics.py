"""`/metrics` of Flower and of the dispatcher, read as Prometheus reads them."""

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from support.catalogue import photograph
from support.cluster import Cluster
from support.drill import Drill
from support.services import free_port, missing, served, until
from support.stand_in import mark

from contract import names
from contract.ledger.records import Worker
from contract.ledger.workers import WorkerRegistry
from contract.recipe import MODEL_NAMES
from contract.schedule import Schedule
from producer.monitoring import exposition

QUEUE = names.bulk_queue("u2netp")
Values = dict[tuple[str, ...], float]


def scraped(port: int) -> Values | None:
    """Return the samples by name and values of labels, or None without a server."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def probed(port: int) -> int:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code


def test_flower_exports_workers_queues_and_batches(cluster: Cluster, catalogue, tmp_path) -> None:
    for number in range(3):
        photograph(catalogue / f"{number}.jpg", number)
    deadline = datetime(2100, 1, 1, tzinfo=UTC)
    spec = cluster.submit(catalogue, tmp_path / "out", schedule=Schedule(deadline=deadline))
    cluster.ledger.batches.set_eta(spec.id, 1)
    present = WorkerRegistry(cluster.ledger.connection)
    present.register(Worker(name="a@one", queue=QUEUE, children=3, clock_skew=0.25))
    cluster.start_dispatcher()  # and no worker: the three messages wait
    until(lambda: cluster.ledger.batches.progress(spec.id).issued == 3)
    port = free_port()
    cluster.start("flower", "producer", "flower", CUTOUT_FLOWER_PORT=str(port))

    metrics = until(lambda: scraped(port))
    ours = {
        key: value
        for key, value in metrics.items()
        if key[0].startswith("cutout_") and (key[0] != "cutout_queue_length" or value)
    }
    images = {
        ("cutout_batch_images", spec.id, status): 0 for status in ("done", "skipped", "failed")
    }
    assert ours == {
        ("cutout_worker_clock_skew_seconds", "a@one"): 0.25,
        ("cutout_worker_children", QUEUE, "a@one"): 3,
        ("cutout_worker_out_of_rotation", QUEUE, "a@one"): 0,
        ("cutout_queue_length", QUEUE): 3,
        ("cutout_dispatcher_running",): 1,
        **images,
        ("cutout_batch_images", spec.id, "issued"): 3,
        ("cutout_batch_total", spec.id): 3,
        ("cutout_batch_eta_timestamp_seconds", spec.id): 1,
        ("cutout_batch_deadline_timestamp_seconds", spec.id): deadline.timestamp(),
        **{("cutout_images_settled_total", status): 0 for status in ("done", "skipped", "failed")},
        ("cutout_messages_dropped_total",): 0,
    }

    cluster.redis.stop()
    start = time.monotonic()
    silent = scraped(port)
    assert time.monotonic() - start < 30
    assert silent
    assert not any(key[0].startswith("cutout_") for key in silent)
    cluster.redis.start()  # or the dispatcher waits for it when it stops


def test_the_dispatcher_exports_every_queue_without_worker_or_batch(cluster: Cluster) -> None:
    port = free_port()
    cluster.start_dispatcher(CUTOUT_METRICS_PORT=str(port))
    metrics = until(lambda: scraped(port))
    queues = {names.bulk_queue(model) for model in MODEL_NAMES}
    assert {metrics["cutout_queue_length", queue] for queue in queues} == {0}
    until(lambda: scraped(port)["cutout_dispatcher_running",] == 1)
    assert probed(port) == 200
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def test_a_dispatcher_that_is_lost_is_reported(cluster: Cluster, catalogue, tmp_path) -> None:
    """By another one that stands by, by `cutout status`, and by the API's `/healthz`."""
    photograph(catalogue / "a.jpg")
    cluster.submit(catalogue, tmp_path / "out")
    port = free_port()
    cluster.start_dispatcher("first")
    until(lambda: "dispatching" in cluster.log("first"))

    def status() -> str:
        command = [sys.executable, "-m", "producer", "status"]
        env = cluster.environment()
        return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout

    assert "No dispatcher" not in status()
    cluster.kill("first")
    until(lambda: not cluster.ledger.has_dispatcher())
    assert "No dispatcher is running, so no image is queued" in status()
    cluster.start_dispatcher("second", CUTOUT_METRICS_PORT=str(port))
    until(lambda: scraped(port) and scraped(port)["cutout_dispatcher_running",] == 1)


def test_a_dispatcher_whose_loop_stands_still_is_unhealthy() -> None:
    alive = [True]
    registry = CollectorRegistry()
    app = exposition.wsgi(registry, lambda: alive[0])

    def health() -> str:
        statuses: list[str] = []
        assert b"".join(app({"PATH_INFO": "/healthz"}, lambda one, _: statuses.append(one)))
        return statuses[0]

    assert health() == "200 OK"
    alive[0] = False
    assert health() == "503 Service Unavailable"


def test_every_query_of_rules_and_dashboard_finds_data_of_a_real_run(
    drill: Drill, tmp_path: Path
) -> None:
    program = shutil.which("prometheus") or missing("prometheus is not installed")
    port, own = free_port(), free_port()
    (tmp_path / "prometheus.yaml").write_text(
        f"scrape_configs: [{{job_name: cutout, scrape_interval: 1s,"
        f" static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    deadline = Schedule(deadline=datetime(2100, 1, 1, tzinfo=UTC))
    drill.fill(300)
    for number in range(300):
        mark(drill.key_path(number), "slow:0.5")
    drill.cluster.start_worker(2)
    drill.cluster.start_dispatcher(CUTOUT_METRICS_PORT=str(port))
    with served(
        [
            program, f"--config.file={tmp_path / 'prometheus.yaml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}", f"--web.listen-address=127.0.0.1:{own}",
        ],
        f"http://127.0.0.1:{own}/-/ready",
        {},
    ):  # fmt: skip
        drill.submit(schedule=deadline)
        without_data = set(expressions())

        def all_have_data() -> bool:
            for name in list(without_data):
                if query(own, expressions()[name]):
                    without_data.discard(name)
            return without_data <= HEALTHY

        try:
            until(all_have_data, 60)
        except pytest.fail.Exception:
            pytest.fail(f"no data: {without_data - HEALTHY}")


HEALTHY = {
    "CutoutDispatcherMissing", "CutoutQueueWithoutWorkers", "CutoutWorkerOutOfRotation",
    "CutoutBatchStalled", "CutoutFailureShare", "CutoutDeadlineAtRisk", "CutoutClockSkew",
    "CutoutMessagesDropped",
}  # fmt: skip
"""Alerts whose expressions find nothing while all is well."""


def expressions() -> dict[str, str]:
    """Return the queries of the dashboard's panels by title, and of the alerts by name."""
    deploy = Path(__file__).parents[2] / "deploy"
    panels = json.loads((deploy / "grafana/dashboard.json").read_text())["panels"]
    rules = yaml.safe_load((deploy / "prometheus/rules.yaml").read_text())["groups"][0]["rules"]
    return {
        **{panel["title"]: panel["targets"][0]["expr"] for panel in panels},
        **{rule["alert"]: rule["expr"] for rule in rules},
    }


def query(port: int, expression: str) -> list[dict]:
    """Return the series that Prometheus finds. Its errors fail the test."""
    words = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{words}") as answer:
        body = json.loads(answer.read())
    assert body["status"] == "success", body
    return body["data"]["result"]
