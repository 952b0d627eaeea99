"""`/metrics` of Flower and of the dispatcher, read as Prometheus reads them."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest
from support.catalogue import photograph
from support.cluster import Cluster
from support.scrape import probed, scraped
from support.services import free_port, until
from support.serving import serving

from contract import names
from contract.ledger.records import Worker
from contract.ledger.workers import WorkerRegistry
from contract.recipe import MODEL_NAMES, PIPELINE
from contract.schedule import Schedule

QUEUE = names.bulk_queue("u2netp")


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
    others = ("cutout_redis_", "cutout_clock_skew", "cutout_queue_oldest", "cutout_open_batches")
    ours = {
        key: value
        for key, value in metrics.items()
        if key[0].startswith("cutout_")
        and not key[0].startswith(others)
        and (value or key[0] not in {"cutout_queue_length", "cutout_unsettled_images"})
    }
    assert metrics["cutout_redis_memory_bytes",] < metrics["cutout_redis_memory_limit_bytes",]
    assert 0 < metrics["cutout_redis_clients",] < metrics["cutout_redis_clients_limit",]
    assert metrics["cutout_queue_oldest_seconds", QUEUE] > 0
    assert metrics["cutout_open_batches", "open"] == 1
    assert abs(metrics["cutout_clock_skew_seconds",]) < 5
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
        ("cutout_batch_remaining", spec.id): 3,
        ("cutout_batch_duplicates", spec.id): 0,
        ("cutout_batch_images_per_second", spec.id): 3,
        ("cutout_batch_state", spec.id, "open"): 1,
        ("cutout_unsettled_images", "u2netp", str(PIPELINE), "queued"): 3,
        ("cutout_callbacks_pending", "batch"): 0,
        ("cutout_callbacks_pending", "cutout"): 0,
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
    backlog = {key: value for key, value in metrics.items() if key[0] == "cutout_unsettled_images"}
    assert {key[1] for key in backlog} == set(MODEL_NAMES)
    assert set(backlog.values()) == {0}
    until(lambda: scraped(port)["cutout_dispatcher_running",] == 1)
    assert probed(port) == 200
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def test_without_a_worker_the_dispatcher_exports_the_backlog_by_model(
    cluster: Cluster, catalogue, tmp_path
) -> None:
    for number in range(5):
        photograph(catalogue / f"{number}.jpg")
    port = free_port()
    cluster.start_dispatcher(CUTOUT_METRICS_PORT=str(port))
    cluster.submit(catalogue, tmp_path / "out")
    queued = ("cutout_unsettled_images", "u2netp", str(PIPELINE), "queued")
    until(lambda: scraped(port) and scraped(port)["cutout_queue_length", QUEUE] == 5)
    metrics = scraped(port)
    backlog = {key: value for key, value in metrics.items() if key[0] == queued[0] and value}
    assert backlog == {queued: 5}


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

    with serving(cluster, tmp_path) as server:
        assert "No dispatcher" not in status()
        assert server.client.get("/healthz").text == "ok\n"
        cluster.kill("first")
        until(lambda: not cluster.ledger.has_dispatcher())
        assert "No dispatcher is running, so no image is queued" in status()
        assert "no dispatcher is running" in server.client.get("/healthz").text
    cluster.start_dispatcher("second", CUTOUT_METRICS_PORT=str(port))
    until(lambda: scraped(port) and scraped(port)["cutout_dispatcher_leading",] == 1)
    assert scraped(port)["cutout_dispatcher_running",] == 1
    standby = free_port()
    cluster.start_dispatcher("third", CUTOUT_METRICS_PORT=str(standby))
    until(lambda: "standing by" in cluster.log("third") and scraped(standby))
    assert scraped(standby)["cutout_dispatcher_leading",] == 0
